/* One function of a library at a time, decoded from its beginning to its end. For patch.c. */
#ifndef ARCH_X86_64_FUNCTION_H
#define ARCH_X86_64_FUNCTION_H

#include <string.h>
#include "arch/patch.h"
#include "arch/x86_64/decode.h"

#define MAX_INSNS    8192u
#define MAX_FUNCTION 32768u

/* The one that was found last. In .bss, so that programs without threads never touch it. */
extern struct function {
    uint8_t *start, *end;
    /* of the one that was decoded last */
    unsigned n; /* instructions; offset has one more, the end */
    uint16_t offset[MAX_INSNS + 1];
    uint8_t kind[MAX_INSNS];
    uint8_t target[MAX_FUNCTION / 8]; /* a bit for each byte that a jump may lead to */
    uint8_t wide;                     /* VEX or EVEX instructions */
    /* Numbers that it mentions: of calls that may not be changed, that are to be, that must be. */
    uint8_t forbidden, wanted, futex;
} fn;

/* The function that pc lies in, by the unwind table. False: no function's, or beyond the text. */
bool function_find(const struct patch_library *lib, const uint8_t *pc);
/* Decodes the one that was found. False: not understood as a whole. */
bool function_decode(const struct patch_library *lib, const struct patch_wanted *wanted);
/* What %rax holds at instruction k; -1: not known for sure. */
long function_number(unsigned k);

static inline bool function_jumps_to(const uint8_t *p)
{
    return fn.target[(p - fn.start) / 8] >> (p - fn.start) % 8 & 1;
}

static inline bool is_wanted(const struct patch_wanted *w, uint32_t nr)
{
    return nr < PATCH_NUMBERS && w->bits[nr / 64] >> nr % 64 & 1;
}

static inline int32_t get32(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

#endif
