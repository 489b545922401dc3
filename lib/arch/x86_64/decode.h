/* Lengths and the few properties of x86-64 instructions that moving code takes. */
#ifndef ARCH_X86_64_DECODE_H
#define ARCH_X86_64_DECODE_H

#include <stdbool.h>
#include <stdint.h>

enum insn_kind {
    INSN_PLAIN,
    INSN_SYSCALL,
    INSN_JMP,      /* to target */
    INSN_JCC,      /* to target */
    INSN_SHORT,    /* loop, jrcxz: to target, and there is no long form */
    INSN_CALL,     /* to target */
    INSN_INDIRECT, /* jmp through a register or memory */
    INSN_RET,
};

struct insn {
    uint8_t length;
    uint8_t kind;
    uint8_t map;    /* 0: one byte, 1: 0f, 2: 0f 38, 3: 0f 3a */
    uint8_t opcode; /* the last byte of it */
    uint8_t rex;    /* 0: none; for VEX and EVEX the equivalent is not kept */
    uint8_t modrm;
    uint8_t relative;  /* offset of a 32-bit displacement from %rip; 0: none */
    uint8_t immediate; /* offset of the immediate; 0: none */
    bool wide;         /* VEX or EVEX: may use registers wider than %xmm */
    const uint8_t *target;
};

/* One instruction at code; at most 15 bytes are read. False: none that is known. */
bool insn_decode(const uint8_t *code, struct insn *out);

/* Whether it surely leaves %rax alone. */
bool insn_keeps_rax(const struct insn *i);

#endif
