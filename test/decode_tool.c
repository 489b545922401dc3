/* Prints the instructions that the decoder sees otherwise than standard input says: see decode.py. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "arch/x86_64/decode.h"

int main(int argc, char **argv)
{
    struct stat st;
    unsigned long address;
    unsigned length;
    int fd = argc == 3 ? open(argv[1], O_RDONLY) : -1;
    if (fd < 0 || fstat(fd, &st) < 0)
        return 2;
    const unsigned char *file = mmap(NULL, (size_t)st.st_size + 4096, PROT_READ, MAP_PRIVATE, fd,
                                     0);
    if (file == MAP_FAILED)
        return 2;
    unsigned long delta = strtoul(argv[2], NULL, 0);
    while (scanf("%lx %u", &address, &length) == 2) {
        struct insn i;
        if (!insn_decode(file + address - delta, &i) || i.length != length)
            printf("%lx: %u, decoded %u\n", address, length, i.length);
    }
    return 0;
}
