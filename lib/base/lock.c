/* The contended half of the runtime's spin lock.
 *
 * Called by any thread of the process, on any stack; uses neither %fs nor errno. Invariant: a
 * waiter only reads the word until it looks free, so waiting does not steal the cache line from
 * the holder. */
#include "base/lock.h"

void lock_contended(struct lock *l)
{
    for (unsigned round = 0;; round++) {
        if (!load_relaxed(&l->held) && lock_try(l))
            return;
        lock_relax(round);
    }
}
