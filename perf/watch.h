/*
 * What /proc tells about a server's process, seen from outside. With pid 0 everything is 0.
 */
#ifndef PERF_WATCH_H
#define PERF_WATCH_H

#include <sys/types.h>

/* Seconds of all its kernel threads, user and system. Ends the program when the server is gone. */
double server_cpu(pid_t pid);
/* A number of its status file. */
long server_status(pid_t pid, const char *name);
/* Context switches of all kernel threads alive now. */
void server_switches(pid_t pid, long *voluntary, long *involuntary);

#endif
