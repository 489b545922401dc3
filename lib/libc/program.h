#ifndef LIBC_PROGRAM_H
#define LIBC_PROGRAM_H

/* Why the threads of this program must stay kernel threads; NULL: they need not. */
const char *program_needs_kernel_threads(void);

#endif
