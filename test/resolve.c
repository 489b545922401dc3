/* For each function that is named as an argument: the file that a program's call of it goes to. Used
 * by interface.py; not a test by itself. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        Dl_info info;
        void *function = dlsym(RTLD_DEFAULT, argv[i]);

        printf("%s %s\n", argv[i],
               function && dladdr(function, &info) ? info.dli_fname : "nowhere");
    }
    return 0;
}
