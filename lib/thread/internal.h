/* Shared by the files of this room. */
#ifndef THREAD_INTERNAL_H
#define THREAD_INTERNAL_H

#include <sched.h>
#include "sync/waitq.h"
#include "thread/thread.h"

struct thread_attributes {
    bool detached;
    void *stack; /* the program's, or NULL */
    size_t size; /* 0: default */
    size_t guard;
    bool mask_given;
    uint64_t mask;
    bool explicit_policy, has_affinity;
    int policy;
    struct sched_param param;
    uint64_t affinity[128];
};

/* Whether threads that creator makes take after its kernel thread. */
bool thread_inherits(struct fiber *creator);
/* Whether the attributes ask for what not every thread has. */
bool thread_wants_own(const struct thread_attributes *a);
/* A carrier with these attributes; NULL with *err 0: they are everybody's. */
struct worker *thread_carrier(const struct thread_attributes *a, bool inherit, int *err);

/* Threads that have not ended; returns the number after adding n. */
int thread_count(int n);

/* Once, in the constructor. */
void cancel_init(void);
void cancel_kernel_init(void);
void cancel_kernel_after_fork(void);

/* CPUs that the cgroup's quota allows, rounded up; 0: no limit. */
uint32_t cgroup_cpus(void);
/* The same for a list of groups as in /proc/self/cgroup and the roots of both kinds of tree. */
uint32_t cgroup_cpus_in(const char *list, const char *v2, const char *v1);

/* The calling fiber has run its destructors: becomes joinable, never returns. The last thread of
 * the process exits it. */
_Noreturn void thread_finish(struct fiber *self);

#endif
