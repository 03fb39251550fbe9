# Makes the build context in the current directory.
mkdir -p src/deep/one src/deep/two; echo x1 > src/deep/one/x.txt; echo x2 > src/deep/two/x.txt; echo o > src/deep/one/y.o
echo top > src/top.txt; echo obj > src/main.o; chmod 0640 src/top.txt; chmod 0711 src/deep; ln -s top.txt src/pointer; ln -s /nowhere src/dangling
chmod 0755 src/main.o; touch -d 2020-02-03T04:05:06Z src/top.txt src/deep/one/x.txt
