/* Finding libc's functions without libc's help. */
#ifndef LIBC_SYMBOL_H
#define LIBC_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>

struct symbol_wish {
    const char *name;
    void **found; /* set if it is there, else left alone */
};

/* What dlsym(RTLD_NEXT, name) gives for each of n names: the default version in the first loaded object
 * after this one. anywhere: in the first object but this one, for when this one stands behind libc.
 * Allocates nothing and takes no lock but ld.so's own, so it may be called below malloc. */
void symbol_find(const struct symbol_wish *wishes, size_t n, bool anywhere);

#endif
