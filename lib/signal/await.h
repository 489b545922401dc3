/* A descriptor that is readable while a signal is pending: see await.c. */
#ifndef SIGNAL_AWAIT_H
#define SIGNAL_AWAIT_H

#include "fiber/fiber.h"

/* For poller_wait; < 0: there is none to be had. */
int signal_await_fd(struct fiber *self, uint64_t set);
/* The program closes or replaces fd. */
void signal_await_closing(int fd);
void signal_await_after_fork(void);

#endif
