/* Reads a function of a library's before its text is changed: function.h.
 *
 * The unwind table tells where it begins and ends. Its jumps are collected as they are met; those of switch
 * statements go through tables, which a function with an indirect jump refers to by an address. Whatever may
 * be one is read as one: a target too many only costs a window.
 *
 * Called as patch.c says. */
#include "arch/x86_64/function.h"

/* Of calls that return twice, or elsewhere: rt_sigreturn, clone, vfork, clone3. */
#define FORBIDDEN(nr) ((nr) == 15 || (nr) == 56 || (nr) == 58 || (nr) == 435)

struct function fn;

/* .eh_frame_hdr: version 1, a sorted table of (start, FDE), both relative to the header. */
bool function_find(const struct patch_library *lib, const uint8_t *pc)
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
    fn.start = (uint8_t *)(uintptr_t)start;
    fn.end = (uint8_t *)(uintptr_t)end;
    return true;
}

static void mark_target(const uint8_t *p)
{
    if (p >= fn.start && p < fn.end)
        fn.target[(p - fn.start) / 8] |= (uint8_t)(1 << (p - fn.start) % 8);
}

/* A table of 32-bit offsets from its own beginning, as switch statements use; maybe it is none, and
 * what is then taken for targets does no harm. */
static void mark_table(const struct patch_library *lib, const uint8_t *table)
{
    if (table < lib->image || (table >= lib->text && table < lib->text_end))
        return;
    for (const uint8_t *p = table; p + 4 <= lib->image_end; p += 4) {
        const uint8_t *t = table + get32(p);
        if (t < fn.start || t >= fn.end)
            return;
        mark_target(t);
    }
}

bool function_decode(const struct patch_library *lib, const struct patch_wanted *wanted)
{
    size_t size = (size_t)(fn.end - fn.start);
    if (size > MAX_FUNCTION)
        return false;
    memset(fn.target, 0, (size + 7) / 8);
    fn.n = fn.wide = fn.forbidden = fn.wanted = fn.futex = 0;
    bool indirect = false;
    struct insn i;
    const uint8_t *p = fn.start;
    for (; p < fn.end; p += i.length) {
        if (!insn_decode(p, &i) || fn.n == MAX_INSNS)
            return false;
        fn.offset[fn.n] = (uint16_t)(p - fn.start);
        fn.kind[fn.n++] = i.kind;
        fn.wide |= i.wide;
        indirect |= i.kind == INSN_INDIRECT;
        if (i.target && i.kind != INSN_CALL)
            mark_target(i.target);
        if (i.map == 0 && (i.opcode & 0xf8) == 0xb8 && !i.wide) { /* mov $imm, %reg */
            uint32_t nr = (uint32_t)get32(p + i.immediate);
            fn.forbidden |= FORBIDDEN(nr);
            fn.wanted |= is_wanted(wanted, nr);
            fn.futex |= nr == wanted->essential;
        }
    }
    fn.offset[fn.n] = (uint16_t)size;
    if (p != fn.end)
        return false;
    for (unsigned k = 0; k < fn.n && indirect; k++) {
        const uint8_t *code = fn.start + fn.offset[k];
        insn_decode(code, &i);
        if (i.relative && i.map == 0 && i.opcode == 0x8d)
            mark_table(lib, code + i.length + get32(code + i.relative));
    }
    return true;
}

long function_number(unsigned k)
{
    struct insn i;
    while (k > 0) {
        if (function_jumps_to(fn.start + fn.offset[k]))
            return -1;
        const uint8_t *code = fn.start + fn.offset[--k];
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
