/* Finds the system call instructions of a library and gives each a stub: arch/patch.h, deep.S.
 *
 * A near jump needs five bytes and the instruction has two, so neighbours move into the stub. What may
 * go wrong, and what is done about it:
 *
 *   0f 05 that is no instruction    functions are decoded from their beginning, which the unwind table
 *                                   tells, to their end, which must be met exactly
 *   a jump to a moved neighbour     targets in the function are collected while it is decoded, with the
 *                                   entries of its jump tables; for jumps from elsewhere (a function's
 *                                   cold part) the whole text is searched for anything that could be one
 *   instructions relative to %rip   are adjusted; calls do not move
 *   wider vector registers          functions that use VEX or EVEX instructions are left alone
 *   calls that return twice, or     sites whose number is not known for sure are left alone if their
 *   elsewhere (clone, vfork)        function mentions such a number
 *
 * While text is writable it cannot be executed, and libc's text least of all: patch_apply calls nothing
 * and blocks signals. The slots' own pages go first; where a policy forbids changed text to become
 * executable again (SELinux execmod), that shows there, harmlessly.
 *
 * Called at activation, while the process has one thread; and under ld.so's lock while it loads a library,
 * whose slots begin on a page of their own, since the others are in use. */
#include "arch/patch.h"

#include <signal.h>
#include <sys/mman.h>
#include "arch/syscall.h"
#include "arch/x86_64/function.h"
#include "base/defs.h"

#define SLOT       64u
#define SLOT_ENTRY 24u /* of the code proper */
#define SLOT_AFTER 42u
#define MAX_BEFORE 16u
#define MAX_AFTER  (SLOT - SLOT_AFTER - 5)
#define MAX_SITES  512u
#define JUMP       5u

extern uint8_t deep_slots[], deep_slots_end[], deep_entry[], deep_syscall[];

struct site {
    uint8_t *at;
    uint8_t length; /* 0: dropped */
    uint8_t entry;  /* of its slot */
    bool essential;
    struct patch_library *lib;
};

/* In .bss, so that programs without threads never touch it. */
static struct {
    struct site sites[MAX_SITES];
    unsigned nsites, first; /* those of the last plan begin here */
    uint8_t *hook_at;
    void (*hook)(void);
} plan;

/* ---- moving instructions ---- */

/* One instruction from code to to, which will run at to. The bytes written, or 0: cannot move. */
static unsigned move(const uint8_t *code, const struct insn *i, uint8_t *to)
{
    intptr_t delta;
    int32_t rel;
    switch (i->kind) {
    case INSN_PLAIN:
    case INSN_RET:
        memcpy(to, code, i->length);
        if (i->relative) {
            delta = (intptr_t)code - (intptr_t)to + get32(code + i->relative);
            rel = (int32_t)delta;
            if (rel != delta)
                return 0;
            memcpy(to + i->relative, &rel, 4);
        }
        return i->length;
    case INSN_JMP:
    case INSN_JCC: {
        unsigned size = i->kind == INSN_JMP ? 5 : 6;
        delta = i->target - (to + size);
        rel = (int32_t)delta;
        if (rel != delta)
            return 0;
        to[0] = i->kind == INSN_JMP ? 0xe9 : 0x0f;
        to[1] = 0x80 | (i->opcode & 0x0f);
        memcpy(to + size - 4, &rel, 4);
        return size;
    }
    default:
        return 0;
    }
}

/* Moves instructions [from, to) to out, at most room bytes; 0 bytes is a result too, -1: cannot. */
static int move_range(unsigned from, unsigned to, uint8_t *out, unsigned room, bool *ends)
{
    unsigned done = 0;
    struct insn i;
    *ends = false;
    for (unsigned k = from; k < to; k++) {
        const uint8_t *code = fn.start + fn.offset[k];
        if (*ends || !insn_decode(code, &i) || i.length > room - done)
            return -1;
        unsigned size = i.kind == INSN_JMP || i.kind == INSN_JCC ? 6 : i.length;
        if (size > room - done || !(size = move(code, &i, out + done)))
            return -1;
        done += size;
        *ends = i.kind == INSN_JMP || i.kind == INSN_RET;
    }
    return (int)done;
}

static void emit_jump(uint8_t *at, const uint8_t *to, intptr_t *far)
{
    intptr_t delta = to - (at + JUMP);
    int32_t rel = (int32_t)delta;
    if (rel != delta)
        *far = 1;
    at[0] = 0xe9;
    memcpy(at + 1, &rel, 4);
}

/* Fills a slot for the window of instructions [first, last] around the site. */
static bool fill_slot(uint8_t *slot, unsigned first, unsigned site, unsigned last, uint8_t *entry)
{
    static const uint8_t skip[] = { 0x48, 0x8d, 0x64, 0x24, 0x80 };
    static const uint8_t unskip[] = { 0x48, 0x8d, 0xa4, 0x24, 0x80, 0, 0, 0 };
    bool ends;
    intptr_t far = 0;
    unsigned before = (unsigned)(fn.offset[site] - fn.offset[first]);
    if (before > MAX_BEFORE)
        return false;
    memset(slot, 0xcc, SLOT);
    *entry = (uint8_t)(SLOT_ENTRY - before);
    if (move_range(first, site, slot + *entry, before, &ends) != (int)before || ends)
        return false;
    const uint8_t *resume = fn.start + fn.offset[site + 1];
    memcpy(slot, &resume, 8);
    memcpy(slot + SLOT_ENTRY, skip, sizeof skip);
    emit_jump(slot + SLOT_ENTRY + 5, deep_entry, &far);
    slot[SLOT_ENTRY + 5] = 0xe8; /* call */
    memcpy(slot + SLOT_ENTRY + 10, unskip, sizeof unskip);
    int after = move_range(site + 1, last + 1, slot + SLOT_AFTER, MAX_AFTER, &ends);
    if (after < 0)
        return false;
    if (!ends)
        emit_jump(slot + SLOT_AFTER + after, fn.start + fn.offset[last + 1], &far);
    return !far;
}

static bool window_ok(unsigned first, unsigned last)
{
    if (fn.offset[last + 1] - fn.offset[first] < (int)JUMP)
        return false;
    for (unsigned k = first + 1; k <= last; k++)
        if (function_jumps_to(fn.start + fn.offset[k]))
            return false;
    return true;
}

static bool choose_window(unsigned site, uint8_t *slot, struct site *s)
{
    /* What follows first: it is mostly the comparison with the error range. */
    for (unsigned back = 0; back <= 4 && back <= site; back++)
        for (unsigned fwd = 0; fwd <= 4 && site + fwd < fn.n; fwd++) {
            unsigned first = site - back, last = site + fwd;
            if (!window_ok(first, last) || !fill_slot(slot, first, site, last, &s->entry))
                continue;
            s->at = fn.start + fn.offset[first];
            s->length = (uint8_t)(fn.offset[last + 1] - fn.offset[first]);
            return true;
        }
    return false;
}

/* ---- a library ---- */

static void look_at_function(struct patch_library *lib, const struct patch_wanted *wanted,
                             bool understood)
{
    for (unsigned k = 0; understood && k < fn.n; k++) {
        if (fn.kind[k] != INSN_SYSCALL)
            continue;
        long nr = function_number(k);
        if (nr < 0 ? !fn.wanted : !is_wanted(wanted, (uint32_t)nr))
            continue;
        bool essential = nr < 0 ? fn.futex : (uint32_t)nr == wanted->essential;
        lib->found++;
        struct site *s = &plan.sites[plan.nsites];
        if (plan.nsites == MAX_SITES || fn.wide || (nr < 0 && fn.forbidden) ||
            !choose_window(k, deep_slots + SLOT * plan.nsites, s)) {
            lib->complete &= !essential;
            continue;
        }
        s->essential = essential;
        s->lib = lib;
        plan.nsites++;
    }
    /* What could not be read might be anything. */
    lib->complete &= understood;
}

static void drop(struct site *s)
{
    s->length = 0;
    s->lib->complete &= !s->essential;
}

/* Whether an instruction begins at code; what no function's text is may be one. */
static bool is_instruction(const struct patch_library *lib, const uint8_t *code)
{
    struct insn i;
    if (!function_find(lib, code))
        return true;
    const uint8_t *p = fn.start;
    while (p < code && insn_decode(p, &i))
        p += i.length;
    return p == code || p < code; /* not decoded: may be */
}

static void check_jump(const struct patch_library *lib, const uint8_t *code, const uint8_t *target,
                       unsigned first)
{
    for (unsigned k = first; k < plan.nsites; k++)
        if (target > plan.sites[k].at && target < plan.sites[k].at + plan.sites[k].length &&
            is_instruction(lib, code))
            drop(&plan.sites[k]);
}

/* Windows that somebody jumps into: whatever could be the end of a jump is looked at. */
static void find_jumps(struct patch_library *lib, unsigned first, uint64_t *inside)
{
    size_t size = (size_t)(lib->text_end - lib->text);
    memset(inside, 0, size / 8 + 8);
    for (unsigned k = first; k < plan.nsites; k++)
        for (unsigned b = 1; b < plan.sites[k].length; b++) {
            size_t at = (size_t)(plan.sites[k].at + b - lib->text);
            inside[at / 64] |= 1ull << at % 64;
        }
    for (const uint8_t *p = lib->text + 2; p + 4 <= lib->text_end; p++) {
        bool near = p[-1] == 0xe9;
        if (likely(!near && (p[-2] != 0x0f || (p[-1] & 0xf0) != 0x80)))
            continue;
        size_t at = (size_t)(p + 4 + get32(p) - lib->text);
        if (unlikely(at < size && inside[at / 64] >> at % 64 & 1))
            check_jump(lib, near ? p - 1 : p - 2, lib->text + at, first);
    }
}

/* Short jumps from another function than the site's: near its ends only. */
static void find_short_jumps(const struct patch_library *lib, struct site *s)
{
    uint8_t *from = s->at - 130 < lib->text ? lib->text : s->at - 130;
    uint8_t *to = s->at + 150 > lib->text_end ? lib->text_end : s->at + 150;
    function_find(lib, s->at);
    const uint8_t *start = fn.start, *end = fn.end;
    for (uint8_t *p = from; p + 2 <= to; p++) {
        if (p >= start && p < end)
            continue; /* decoded */
        uint8_t *t = p + 2 + (int8_t)p[1];
        if ((*p == 0xeb || (*p & 0xf0) == 0x70 || (*p & 0xfc) == 0xe0) && t > s->at &&
            t < s->at + s->length && is_instruction(lib, p)) {
            drop(s);
            return;
        }
    }
}

static void plan_library(struct patch_library *lib, const struct patch_wanted *wanted,
                         uint64_t *inside)
{
    unsigned first = plan.nsites;
    lib->found = lib->patched = 0;
    lib->complete = true;
    fn.end = lib->text;
    for (uint8_t *p = lib->text; p + 2 <= lib->text_end; p++) {
        p = memchr(p, 0x0f, (size_t)(lib->text_end - p - 1));
        if (!p)
            break;
        if (p[1] != 0x05 || p < fn.end)
            continue;
        if (!function_find(lib, p)) {
            fn.end = lib->text;
            continue; /* no function's: padding, or data */
        }
        look_at_function(lib, wanted, function_decode(lib, wanted));
    }
    find_jumps(lib, first, inside);
    for (unsigned k = first; k < plan.nsites; k++)
        if (plan.sites[k].length)
            find_short_jumps(lib, &plan.sites[k]);
}

static const char *plan_from(unsigned first, struct patch_library *libs, unsigned n,
                             const struct patch_wanted *wanted)
{
    size_t most = 0;
    for (unsigned k = 0; k < n; k++)
        if ((size_t)(libs[k].text_end - libs[k].text) > most)
            most = (size_t)(libs[k].text_end - libs[k].text);
    uint8_t *slots = deep_slots + SLOT * first;
    size_t size = ALIGN_UP(most / 8 + 8, 4096), room = (size_t)(deep_slots_end - slots);
    uint64_t *inside = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (inside == MAP_FAILED)
        return "no memory";
    if (sys_call(SYS_mprotect, slots, room, PROT_READ | PROT_WRITE)) {
        munmap(inside, size);
        return "text cannot be made writable";
    }
    plan.first = plan.nsites = first;
    for (unsigned k = 0; k < n; k++)
        plan_library(&libs[k], wanted, inside);
    munmap(inside, size);
    arch_stub_syscall = deep_syscall;
    if (sys_call(SYS_mprotect, slots, room, PROT_READ | PROT_EXEC))
        return "changed text may not be executed";
    return NULL;
}

const char *patch_plan(struct patch_library *libs, unsigned n, const struct patch_wanted *wanted)
{
    return plan_from(0, libs, n, wanted);
}

const char *patch_plan_late(struct patch_library *lib, const struct patch_wanted *wanted)
{
    unsigned before = plan.nsites, first = ALIGN_UP(before, 4096 / SLOT);
    if (first >= MAX_SITES)
        return "no room for more stubs";
    const char *why = plan_from(first, lib, 1, wanted);
    if (!why && !lib->complete)
        why = "its locks cannot be answered as a whole";
    if (why)
        plan.nsites = before;
    return why;
}

bool patch_hook(const struct patch_library *lib, uint8_t *function, void (*hook)(void))
{
    struct insn i;
    if (function < lib->text || function + 16 > lib->text_end || !function_find(lib, function) ||
        fn.start != function || fn.end != function + 1 || !insn_decode(function, &i) ||
        i.kind != INSN_RET || i.length != 1)
        return false;
    /* Padding up to the end of the jump. */
    for (const uint8_t *p = function + 1; p < function + JUMP; p += i.length)
        if (!insn_decode(p, &i) || function_find(lib, p) ||
            !((i.map == 1 && i.opcode == 0x1f) || (i.map == 0 && i.opcode == 0x90)))
            return false;
    intptr_t far = (intptr_t)hook - (intptr_t)(function + JUMP);
    if (far != (int32_t)far)
        return false;
    plan.hook_at = function;
    plan.hook = hook;
    return true;
}

static long protect(const struct patch_library *lib, long how)
{
    uintptr_t start = ALIGN_DOWN(lib->text, 4096), end = ALIGN_UP(lib->text_end, 4096);
    return sys_call(SYS_mprotect, start, end - start, how);
}

/* No function may be called here, not even one that the compiler makes of a loop. */
static inline __attribute__((always_inline)) void write_jump(volatile uint8_t *from,
                                                             const uint8_t *to)
{
    uint32_t rel = (uint32_t)(to - (const uint8_t *)(from + JUMP));
    from[0] = 0xe9;
    for (unsigned b = 0; b < 4; b++)
        from[1 + b] = (uint8_t)(rel >> 8 * b);
}

static void write_jumps(struct patch_library *lib)
{
    if (plan.hook_at >= lib->text && plan.hook_at < lib->text_end)
        write_jump(plan.hook_at, (const uint8_t *)plan.hook);
    for (unsigned k = plan.first; k < plan.nsites; k++) {
        const struct site *s = &plan.sites[k];
        if (s->lib != lib || !s->length)
            continue;
        volatile uint8_t *to = s->at;
        write_jump(to, deep_slots + SLOT * k + s->entry);
        for (unsigned b = JUMP; b < s->length; b++)
            to[b] = 0xcc; /* nobody comes here */
        lib->patched++;
    }
}

const char *patch_apply(struct patch_library *libs, unsigned n)
{
    uint64_t all = ~0ull, before;
    const char *why = NULL;
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
    for (unsigned k = 0; k < n && !why; k++) {
        if (protect(&libs[k], PROT_READ | PROT_WRITE)) {
            why = "text cannot be made writable";
            break;
        }
        write_jumps(&libs[k]);
        if (protect(&libs[k], PROT_READ | PROT_EXEC))
            __builtin_trap(); /* it was allowed for our own text a moment ago */
    }
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
    return why;
}
