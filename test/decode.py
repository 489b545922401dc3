#!/usr/bin/env python3
"""The instruction decoder agrees with objdump on every instruction of whole libraries.

    decode.py decode-tool library...

The tool reads "address length" lines and prints those where it decodes another length. Exit 77
without objdump.
"""
import re, shutil, subprocess, sys

TOOL, LIBRARIES = sys.argv[1], sys.argv[2:]
PREFIX = re.compile(r'^(data16|rex\S*|[cdefgs]s|lock|repn?z?|addr32|notrack|bnd|\.byte.*|\(bad\).*)$')

if not shutil.which('objdump'):
    sys.exit(77)
failed = looked = 0
for library in LIBRARIES:
    sections = subprocess.run(['objdump', '-h', library], text=True, stdout=subprocess.PIPE).stdout
    text = re.search(r' \.text\s+\S+\s+(\S+)\s+\S+\s+(\S+)', sections)
    if not text:
        continue
    listing = subprocess.run(['objdump', '-d', '-w', '-j', '.text', library], text=True,
                             stdout=subprocess.PIPE).stdout
    lines = []
    for line in listing.splitlines():
        fields = line.split('\t')
        if len(fields) < 3 or PREFIX.match(fields[2].strip()):
            continue  # no instruction for objdump either
        code = fields[1].split()
        if code[0] == '9b' and len(code) > 1:
            continue  # fwait is an instruction, whatever objdump makes of it
        lines.append(f'{fields[0].strip().rstrip(":")} {len(code)}')
    delta = int(text[1], 16) - int(text[2], 16)
    wrong = subprocess.run([TOOL, library, str(delta)], input='\n'.join(lines) + '\n', text=True,
                           stdout=subprocess.PIPE, check=True).stdout.splitlines()
    looked += len(lines)
    failed += len(wrong)
    print(f'{library}: {len(lines)} instructions, {len(wrong)} differ', *wrong[:10], sep='\n  ')
sys.exit(1 if failed else 0 if looked > 10000 else 77)
