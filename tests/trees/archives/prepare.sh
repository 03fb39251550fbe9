# Makes the build context in the current directory.
mkdir -p in/sub/empty several; echo a > in/a; echo b > in/sub/b; ln in/a in/hard; ln -s sub/b in/soft; mkfifo in/pipe; chmod 1777 in/sub/empty
chmod 4711 in/a; touch -d 2001-02-03T04:05:06Z in/sub/b in/sub
tar --sort=name --owner=11 --group=22 --numeric-owner -C in -cf plain.tar .
tar --sort=name --mtime=@1500000000 -C in -czf zipped.tgz .
tar --sort=name --mtime=@1500000001 -C in -cJf better.tar.xz sub
tar --sort=name --mtime=@1500000002 -C in -cjf other.tar.bz2 a hard
echo nothing packed here > not-an-archive.tar.gz; cp plain.tar several/inner.tar; rm -rf in
