# Makes the build context in the current directory.
echo f > f
