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
#include <string.h>
#include <sys/mman.h>
#include "arch/syscall.h"
#include "arch/x86_64/decode.h"
#include "base/defs.h"

#define SLOT          64u
#define SLOT_ENTRY    24u /* of the code proper */
#define SLOT_AFTER    42u
#define MAX_BEFORE    16u
#define MAX_AFTER     (SLOT - SLOT_AFTER - 5)
#define MAX_SITES     512u
#define MAX_INSNS     8192u
#define MAX_FUNCTION  32768u
#define JUMP          5u
#define FORBIDDEN(nr) ((nr) == 15 || (nr) == 56 || (nr) == 58 || (nr) == 435)

extern uint8_t deep_slots[], deep_slots_end[], deep_entry[], deep_syscall[];

struct site {
    uint8_t *at;
    uint8_t length; /* 0: dropped */
    uint8_t entry;  /* of its slot */
    bool essential;
    struct patch_library *lib;
};

/* Scratch memory for one function; in .bss, so that programs without threads never touch it. */
static struct {
    struct site sites[MAX_SITES];
    unsigned nsites, first; /* those of the last plan begin here */
    uint8_t *hook_at;
    void (*hook)(void);
    uint8_t *start, *end; /* the function */
    unsigned n;
    uint16_t offset[MAX_INSNS + 1];
    uint8_t kind[MAX_INSNS];
    uint8_t target[MAX_FUNCTION / 8];
    uint8_t wide, forbidden, wanted, futex;
} plan;

static int32_t get32(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static bool is_wanted(const struct patch_wanted *w, uint32_t nr)
{
    return nr < PATCH_NUMBERS && w->bits[nr / 64] >> nr % 64 & 1;
}

/* ---- functions ---- */

/* .eh_frame_hdr: version 1, a sorted table of (start, FDE), both relative to the header. */
static bool find_function(const struct patch_library *lib, const uint8_t *pc)
{
    const uint8_t *h = lib->unwind_header;
    if (!h || h[0] != 1 || h[1] != 0x1b || h[2] != 0x03 || h[3] != 0x3b)
        return false;
    uint32_t lo = 0, hi = (uint32_t)get32(h + 8);
    const uint8_t *table = h + 12;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (h + get32(table + 8 * mid) <= pc)
            lo = mid;
        else
            hi = mid;
    }
    if (!hi)
        return false;
    const uint8_t *start = h + get32(table + 8 * lo), *fde = h + get32(table + 8 * lo + 4);
    /* length, offset of the CIE, start relative to itself, size: what the table's encoding implies. */
    if (start > pc || fde < lib->image || fde + 16 > lib->image_end ||
        fde + 8 + get32(fde + 8) != start)
        return false;
    const uint8_t *end = start + (uint32_t)get32(fde + 12);
    if (pc >= end || start < lib->text || end > lib->text_end)
        return false;
    plan.start = (uint8_t *)(uintptr_t)start;
    plan.end = (uint8_t *)(uintptr_t)end;
    return true;
}

static void mark_target(const uint8_t *p)
{
    if (p >= plan.start && p < plan.end)
        plan.target[(p - plan.start) / 8] |= (uint8_t)(1 << (p - plan.start) % 8);
}

static bool is_target(const uint8_t *p)
{
    return plan.target[(p - plan.start) / 8] >> (p - plan.start) % 8 & 1;
}

/* A table of 32-bit offsets from its own beginning, as switch statements use; maybe it is none, and
 * what is then taken for targets does no harm. */
static void mark_table(const struct patch_library *lib, const uint8_t *table)
{
    if (table < lib->image || (table >= lib->text && table < lib->text_end))
        return;
    for (const uint8_t *p = table; p + 4 <= lib->image_end; p += 4) {
        const uint8_t *t = table + get32(p);
        if (t < plan.start || t >= plan.end)
            return;
        mark_target(t);
    }
}

static bool decode_function(const struct patch_library *lib, const struct patch_wanted *wanted)
{
    size_t size = (size_t)(plan.end - plan.start);
    if (size > MAX_FUNCTION)
        return false;
    memset(plan.target, 0, (size + 7) / 8);
    plan.n = plan.wide = plan.forbidden = plan.wanted = plan.futex = 0;
    bool indirect = false;
    struct insn i;
    const uint8_t *p = plan.start;
    for (; p < plan.end; p += i.length) {
        if (!insn_decode(p, &i) || plan.n == MAX_INSNS)
            return false;
        plan.offset[plan.n] = (uint16_t)(p - plan.start);
        plan.kind[plan.n++] = i.kind;
        plan.wide |= i.wide;
        indirect |= i.kind == INSN_INDIRECT;
        if (i.target && i.kind != INSN_CALL)
            mark_target(i.target);
        if (i.map == 0 && (i.opcode & 0xf8) == 0xb8 && !i.wide) { /* mov $imm, %reg */
            uint32_t nr = (uint32_t)get32(p + i.immediate);
            plan.forbidden |= FORBIDDEN(nr);
            plan.wanted |= is_wanted(wanted, nr);
            plan.futex |= nr == wanted->essential;
        }
    }
    plan.offset[plan.n] = (uint16_t)size;
    if (p != plan.end)
        return false;
    for (unsigned k = 0; k < plan.n && indirect; k++) {
        const uint8_t *code = plan.start + plan.offset[k];
        insn_decode(code, &i);
        if (i.relative && i.map == 0 && i.opcode == 0x8d)
            mark_table(lib, code + i.length + get32(code + i.relative));
    }
    return true;
}

/* ---- the number of a site ---- */

/* What %rax holds at instruction k; -1: not known for sure. */
static long number_at(unsigned k)
{
    struct insn i;
    while (k > 0) {
        if (is_target(plan.start + plan.offset[k]))
            return -1;
        const uint8_t *code = plan.start + plan.offset[--k];
        insn_decode(code, &i);
        if (i.map == 0 && !i.wide && !(i.rex & 1)) {
            if (i.opcode == 0xb8 && !(i.rex & 8))
                return (uint32_t)get32(code + i.immediate);
            if (i.opcode == 0xc7 && i.modrm == 0xc0)
                return (uint32_t)get32(code + i.immediate);
            if ((i.opcode == 0x31 || i.opcode == 0x33) && i.modrm == 0xc0 && !(i.rex & 4))
                return 0;
        }
        if (!insn_keeps_rax(&i))
            return -1;
    }
    return -1;
}

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
        const uint8_t *code = plan.start + plan.offset[k];
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
    unsigned before = (unsigned)(plan.offset[site] - plan.offset[first]);
    if (before > MAX_BEFORE)
        return false;
    memset(slot, 0xcc, SLOT);
    *entry = (uint8_t)(SLOT_ENTRY - before);
    if (move_range(first, site, slot + *entry, before, &ends) != (int)before || ends)
        return false;
    const uint8_t *resume = plan.start + plan.offset[site + 1];
    memcpy(slot, &resume, 8);
    memcpy(slot + SLOT_ENTRY, skip, sizeof skip);
    emit_jump(slot + SLOT_ENTRY + 5, deep_entry, &far);
    slot[SLOT_ENTRY + 5] = 0xe8; /* call */
    memcpy(slot + SLOT_ENTRY + 10, unskip, sizeof unskip);
    int after = move_range(site + 1, last + 1, slot + SLOT_AFTER, MAX_AFTER, &ends);
    if (after < 0)
        return false;
    if (!ends)
        emit_jump(slot + SLOT_AFTER + after, plan.start + plan.offset[last + 1], &far);
    return !far;
}

static bool window_ok(unsigned first, unsigned last)
{
    if (plan.offset[last + 1] - plan.offset[first] < (int)JUMP)
        return false;
    for (unsigned k = first + 1; k <= last; k++)
        if (is_target(plan.start + plan.offset[k]))
            return false;
    return true;
}

static bool choose_window(unsigned site, uint8_t *slot, struct site *s)
{
    /* What follows first: it is mostly the comparison with the error range. */
    for (unsigned back = 0; back <= 4 && back <= site; back++)
        for (unsigned fwd = 0; fwd <= 4 && site + fwd < plan.n; fwd++) {
            unsigned first = site - back, last = site + fwd;
            if (!window_ok(first, last) || !fill_slot(slot, first, site, last, &s->entry))
                continue;
            s->at = plan.start + plan.offset[first];
            s->length = (uint8_t)(plan.offset[last + 1] - plan.offset[first]);
            return true;
        }
    return false;
}

/* ---- a library ---- */

static void look_at_function(struct patch_library *lib, const struct patch_wanted *wanted,
                             bool understood)
{
    for (unsigned k = 0; understood && k < plan.n; k++) {
        if (plan.kind[k] != INSN_SYSCALL)
            continue;
        long nr = number_at(k);
        if (nr < 0 ? !plan.wanted : !is_wanted(wanted, (uint32_t)nr))
            continue;
        bool essential = nr < 0 ? plan.futex : (uint32_t)nr == wanted->essential;
        lib->found++;
        struct site *s = &plan.sites[plan.nsites];
        if (plan.nsites == MAX_SITES || plan.wide || (nr < 0 && plan.forbidden) ||
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
    if (!find_function(lib, code))
        return true;
    const uint8_t *p = plan.start;
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
    find_function(lib, s->at);
    const uint8_t *start = plan.start, *end = plan.end;
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
    plan.end = lib->text;
    for (uint8_t *p = lib->text; p + 2 <= lib->text_end; p++) {
        p = memchr(p, 0x0f, (size_t)(lib->text_end - p - 1));
        if (!p)
            break;
        if (p[1] != 0x05 || p < plan.end)
            continue;
        if (!find_function(lib, p)) {
            plan.end = lib->text;
            continue; /* no function's: padding, or data */
        }
        look_at_function(lib, wanted, decode_function(lib, wanted));
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
    if (function < lib->text || function + 16 > lib->text_end || !find_function(lib, function) ||
        plan.start != function || plan.end != function + 1 || !insn_decode(function, &i) ||
        i.kind != INSN_RET || i.length != 1)
        return false;
    /* Padding up to the end of the jump. */
    for (const uint8_t *p = function + 1; p < function + JUMP; p += i.length)
        if (!insn_decode(p, &i) || find_function(lib, p) ||
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
