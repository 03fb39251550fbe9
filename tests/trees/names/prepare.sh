# Makes the build context in the current directory.
mkdir odd; echo 1 > 'odd/with blank'; echo 2 > 'odd/ünï'; echo 3 > "odd/$(printf 'x%.0s' $(seq 120))"; echo 4 > 'odd/[brackets]'; echo 5 > 'odd/star*'; : > odd/.dot
