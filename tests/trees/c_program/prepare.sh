# Makes the build context in the current directory.
cat > Makefile <<'M'
CC = gcc
CFLAGS ?= -O2
PREFIX ?= /usr/local
objects = main.o greet.o
hello: $(objects)
	$(CC) -static -Wl,--build-id=none -o $@ $(objects)
%.o: %.c greet.h
	$(CC) $(CFLAGS) -c -o $@ $<
install: hello
	install -D -m 0755 hello $(DESTDIR)$(PREFIX)/bin/hello
	ln -s hello $(DESTDIR)$(PREFIX)/bin/greet
M
printf '#pragma once\nvoid greet(const char* who);\n' > greet.h
printf '#include <stdio.h>\n#include "greet.h"\nvoid greet(const char* who) { printf("hello, %%s\\n", who); }\n' > greet.c
printf '#include "greet.h"\nint main(int c, char** v) { greet(c > 1 ? v[1] : "you"); return 0; }\n' > main.c
