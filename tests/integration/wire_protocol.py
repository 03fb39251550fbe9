"""wire_protocol.py OURS THEIRS: compares two folders of .proto files by package.

Everything that THEIRS says about a message, enum or service must stand in OURS with the same number,
type and name. What OURS has besides is newer and may be there, as long as it takes no number or name.
Packages that THEIRS has and OURS has not at all are named; `internal` ones are left out.
"""
import os
import re
import sys

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[A-Za-z_.][\w.]*|-?\d[\w.]*|\S')
SCALARS = {'double', 'float', 'int32', 'int64', 'uint32', 'uint64', 'sint32', 'sint64', 'fixed32', 'fixed64',
           'sfixed32', 'sfixed64', 'bool', 'string', 'bytes'}
# On disk only, never on the wire.
INTERNAL = {'contenthash'}


class Proto:
    """What one file declares, by full name: fields {number: (name, type)}, values {number: name}, calls."""

    def __init__(self, path):
        text = open(path, encoding='utf-8').read()
        text = re.sub(r'//[^\n]*|/\*.*?\*/', '', text, flags=re.S)
        self.tokens, self.at = TOKEN.findall(text), 0
        self.package, self.messages, self.enums, self.services = '', {}, {}, {}
        while self.at < len(self.tokens):
            self.top(self.next())

    def next(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def skip_statement(self):
        depth = 0
        while True:
            token = self.next()
            depth += token in '{[' and len(token) == 1
            depth -= token in '}]' and len(token) == 1
            if depth == 0 and token in (';', '}'):
                return

    def top(self, token):
        if token == 'package':
            self.package = self.next()
            self.next()
        elif token == 'message':
            self.message('')
        elif token == 'enum':
            self.enum('')
        elif token == 'service':
            self.service()
        elif token != ';':
            self.skip_statement()

    def message(self, scope):
        name = (scope + '.' if scope else '') + self.next()
        fields = self.messages.setdefault(name, {})
        self.next()
        self.body(name, fields)

    def body(self, name, fields):
        while (token := self.next()) != '}':
            if token == 'message':
                self.message(name)
            elif token == 'enum':
                self.enum(name)
            elif token == 'oneof':
                self.next(), self.next()
                self.body(name, fields)
            elif token in ('reserved', 'extensions', 'option'):
                self.skip_statement()
            elif token != ';':
                self.field(token, fields)

    def field(self, token, fields):
        label = ''
        if token in ('repeated', 'optional', 'required'):
            label, token = ('repeated ' if token == 'repeated' else ''), self.next()
        kind = token
        if token == 'map':
            self.next()
            key = self.next()
            self.next()
            value = self.next()
            self.next()
            kind = f'map<{key},{value}>'
        name = self.next()
        assert self.next() == '=', f'{name}: no number'
        fields[int(self.next(), 0)] = (name, label + kind)
        while (token := self.next()) != ';':
            pass

    def enum(self, scope):
        name = (scope + '.' if scope else '') + self.next()
        values = self.enums.setdefault(name, {})
        self.next()
        while (token := self.next()) != '}':
            if token in ('option', 'reserved'):
                self.skip_statement()
            elif token != ';':
                self.next()
                values[int(self.next(), 0)] = token
                while self.next() != ';':
                    pass

    def service(self):
        calls = self.services.setdefault(self.next(), {})
        self.next()
        while (token := self.next()) != '}':
            if token != 'rpc':
                self.skip_statement() if token == 'option' else None
                continue
            name, signature = self.next(), []
            while (token := self.next()) not in (';', '{'):
                signature.append(token)
            if token == '{':
                while self.next() != '}':
                    pass
            calls[name] = ' '.join(short(word) for word in signature)


def short(kind):
    """A type without its package: how a file refers to another is its own affair."""
    return re.sub(r'[\w.]*\.(\w+)', r'\1', kind)


def load(folder):
    packages = {}
    for directory, _, files in os.walk(folder):
        for file in files:
            if not file.endswith('.proto'):
                continue
            proto = Proto(os.path.join(directory, file))
            merged = packages.setdefault(proto.package, {'message': {}, 'enum': {}, 'service': {}})
            merged['message'].update(proto.messages)
            merged['enum'].update(proto.enums)
            merged['service'].update(proto.services)
    return packages


def compare(ours, theirs):
    faults, compared = [], 0
    for package, kinds in sorted(theirs.items()):
        if package in INTERNAL:
            continue
        if package not in ours:
            faults.append(f'package {package} is missing')
            continue
        for kind, names in kinds.items():
            for name, entries in names.items():
                where = f'{kind} {package}.{name}'
                mine = ours[package][kind].get(name)
                if mine is None:
                    faults.append(f'{where} is missing')
                    continue
                for number, entry in entries.items():
                    compared += 1
                    have = mine.get(number)
                    if kind == 'message' and have:
                        entry, have = (entry[0], short(entry[1])), (have[0], short(have[1]))
                    if have != entry:
                        faults.append(f'{where}: {number} is {entry}, here {have}')
                if kind == 'message':
                    numbers = {entry[0]: number for number, entry in entries.items()}
                    for number, (field, _) in mine.items():
                        if numbers.get(field, number) != number:
                            faults.append(f'{where}: {field} is {numbers[field]}, here {number}')
    return faults, compared


def main():
    ours, theirs = load(sys.argv[1]), load(sys.argv[2])
    faults, compared = compare(ours, theirs)
    for fault in faults:
        print(fault)
    print(f'{compared} fields, values and calls compared, {len(faults)} differ')
    return 1 if faults or compared < 300 else 0


if __name__ == '__main__':
    sys.exit(main())
