/* Names of threads in /proc/self/task and ps -T, as far as kernel threads can have them.
 *
 * A kernel thread is given the name of a fiber that it ran at two looks of the monitor's in a row, and the
 * process's when it runs one without a name: nothing is done at a switch. Kernel thread 0 keeps its name,
 * which is that of the process.
 *
 * names_look: the monitor. names_show: any thread. */
#include "sched/internal.h"

#include <string.h>
#include <sys/prctl.h>
#include "arch/syscall.h"
#include "base/log.h"

static _Atomic bool wanted; /* some fiber has a name */
static uint32_t pid;
static char process[16]; /* its name */

void names_start(void)
{
    pid = (uint32_t)sys_call(SYS_getpid);
    sys_call(SYS_prctl, PR_GET_NAME, process);
}

void names_show(void)
{
    store_relaxed(&wanted, true);
}

void names_look(struct worker *w)
{
    if (likely(!load_relaxed(&wanted)) || w->carrier)
        return;
    struct fiber *f = load_relaxed(&w->cur), *before = w->seen;
    w->seen = f;
    if (!f || f != before || w->ktid == pid)
        return;
    char now[16], path[64];
    memcpy(now, f->name[0] ? f->name : process, sizeof now);
    now[15] = 0;
    if (!strcmp(now, w->shown[0] ? w->shown : process))
        return;
    memcpy(w->shown, now, sizeof now);
    log_format(path, sizeof path, "/proc/self/task/%u/comm", w->ktid);
    reader_write(path, now, strlen(now));
}
