"""Test cases that are functions, for scripts that print TAP: the name of a function is the name of its
test, and what it raises is its failure."""


class Skip(Exception):
    """What a case raises that cannot run here; the text says why."""


_cases = []


def case(f):
    _cases.append(f)
    return f


def same(got, want):
    assert got == want, f'got {got!r}, want {want!r}'


def run_cases():
    """Runs them in order. Answers the exit status."""
    print(f'1..{len(_cases)}')
    failed = 0
    for n, f in enumerate(_cases, 1):
        name = f.__name__.replace('_', ' ')
        try:
            f()
            print(f'ok {n} - {name}', flush=True)
        except Skip as why:
            print(f'ok {n} - {name} # SKIP {why}', flush=True)
        except Exception as e:
            failed += 1
            print(f'not ok {n} - {name}')
            print(''.join(f'# {type(e).__name__} {line}\n' for line in str(e).splitlines() or ['']), end='', flush=True)
    return 1 if failed else 0
