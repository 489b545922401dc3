/* rows.c and rows_passed.c: the parts of one program. */
#ifndef ROWS_H
#define ROWS_H

/* Calls each function that raddle passes on to libc once, from a thread; prints their names. */
int call_passed(void);

#endif
