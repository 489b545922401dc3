/* Shared by the files of this room. */
#ifndef THREAD_INTERNAL_H
#define THREAD_INTERNAL_H

#include "sync/waitq.h"
#include "thread/thread.h"

struct thread_attributes {
    bool detached;
    void *stack; /* the program's, or NULL */
    size_t size; /* 0: default */
    size_t guard;
    bool mask_given;
    uint64_t mask;
};

/* Threads that have not ended; returns the number after adding n. */
int thread_count(int n);

void cancel_init(void);

/* CPUs that the cgroup's quota allows, rounded up; 0: no limit. */
uint32_t cgroup_cpus(void);
/* The same for a list of groups as in /proc/self/cgroup and the roots of both kinds of tree. */
uint32_t cgroup_cpus_in(const char *list, const char *v2, const char *v1);

/* The calling fiber has run its destructors: becomes joinable, never returns. The last thread of
 * the process exits it. */
_Noreturn void thread_finish(struct fiber *self);

#endif
