/*
 * The first thread of a program may be made in the constructor of a library that dlopen loads, and
 * joined in its destructor: both run with the loader's lock held.
 */
#include "check.h"

#include <dlfcn.h>
#include <stdatomic.h>

int main(int argc, char **argv)
{
    watchdog();
    CHECK_EQ(argc, 2);
    for (int i = 0; i < 3; i++) {
        void *library = dlopen(argv[1], RTLD_NOW);

        CHECK(library != NULL);
        atomic_int *rounds = dlsym(library, "library_rounds");

        CHECK(rounds != NULL);
        while (atomic_load(rounds) < 3) {
            nap(1);
        }
        CHECK_EQ(dlclose(library), 0);
    }
    return 0;
}
