/* User and group ids: once there are fibers, every kernel thread makes the call (thread/setid.c); before,
 * and in a vfork child, libc does what is to be done. Called on any thread of the program's. */
#include "shim/calls.h"

#include <grp.h>
#include <limits.h>
#include <stdlib.h>
#include "arch/syscall.h"
#include "handoff/handoff.h"

/* -ENOSYS: it is libc's affair. */
static long set_ids(long nr, long a, long b, long c)
{
    struct fiber *self = fiber_self;
    if (runtime_mode != RUNTIME_ACTIVE)
        return -ENOSYS;
    if (self && load_relaxed(&self->flags) & FIBER_VFORK)
        return sys_call(nr, a, b, c);
    struct fiber *fiber = fiber_here();
    if (fiber)
        handoff_enter(fiber);
    long r = thread_set_ids(nr, a, b, c);
    if (fiber)
        handoff_leave(fiber);
    return r;
}

#define SET_IDS(real_call, nr, ...)                                                                \
    ({                                                                                             \
        long r_ = set_ids(nr, __VA_ARGS__);                                                        \
        r_ == -ENOSYS ? (real_call) : (int)set_errno(r_);                                          \
    })

EXPORT int setuid(uid_t uid)
{
    return SET_IDS(REAL(setuid)(uid), SYS_setuid, uid, 0, 0);
}

EXPORT int setgid(gid_t gid)
{
    return SET_IDS(REAL(setgid)(gid), SYS_setgid, gid, 0, 0);
}

EXPORT int seteuid(uid_t uid)
{
    if (uid == (uid_t)-1)
        return (int)set_errno(-EINVAL);
    return SET_IDS(REAL(seteuid)(uid), SYS_setresuid, -1, uid, -1);
}

EXPORT int setegid(gid_t gid)
{
    if (gid == (gid_t)-1)
        return (int)set_errno(-EINVAL);
    return SET_IDS(REAL(setegid)(gid), SYS_setresgid, -1, gid, -1);
}

EXPORT int setreuid(uid_t ruid, uid_t euid)
{
    return SET_IDS(REAL(setreuid)(ruid, euid), SYS_setreuid, ruid, euid, 0);
}

EXPORT int setregid(gid_t rgid, gid_t egid)
{
    return SET_IDS(REAL(setregid)(rgid, egid), SYS_setregid, rgid, egid, 0);
}

EXPORT int setresuid(uid_t ruid, uid_t euid, uid_t suid)
{
    return SET_IDS(REAL(setresuid)(ruid, euid, suid), SYS_setresuid, ruid, euid, suid);
}

EXPORT int setresgid(gid_t rgid, gid_t egid, gid_t sgid)
{
    return SET_IDS(REAL(setresgid)(rgid, egid, sgid), SYS_setresgid, rgid, egid, sgid);
}

EXPORT int setgroups(size_t n, const gid_t *groups)
{
    return SET_IDS(REAL(setgroups)(n, groups), SYS_setgroups, (long)n, (long)groups, 0);
}

/* The groups of the user database, in a buffer that grows until they fit. */
EXPORT int initgroups(const char *user, gid_t group)
{
    struct fiber *self = fiber_here();
    if (runtime_mode != RUNTIME_ACTIVE || !self)
        return REAL(initgroups)(user, group);
    int n = 64;
    gid_t *groups = NULL;
    for (;;) {
        int room = n;
        free(groups);
        groups = malloc((size_t)n * sizeof *groups);
        if (!groups)
            return (int)set_errno(-ENOMEM);
        handoff_block_enter(self);
        int r = getgrouplist(user, group, groups, &n);
        handoff_block_leave(self);
        if (r >= 0 || n <= room)
            break;
    }
    int r = setgroups((size_t)n, groups);
    while (r < 0 && errno == EINVAL && n > NGROUPS_MAX)
        r = setgroups((size_t)(n = NGROUPS_MAX), groups);
    free(groups);
    return r;
}
