# Makes the build context in the current directory.
mkdir -p ctx/dir; echo f > ctx/dir/f; ln ctx/dir/f ctx/hard; ln -s dir/f ctx/link; ln -s dir ctx/dirlink
