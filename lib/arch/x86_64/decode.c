/* How long an x86-64 instruction is, and where it leads.
 *
 * The length of an instruction follows from its prefixes, its opcode map and opcode (does a ModRM
 * byte follow, how large is the immediate), and the ModRM and SIB bytes (how large is the
 * displacement). The tables hold one character an opcode; see `forms`. What 64-bit mode does not
 * have, and XOP, is unknown. test/decode.py compares the result with a disassembler's for whole libraries.
 *
 * Pure functions; called at activation. */
#include "arch/x86_64/decode.h"

#include <string.h>

/* - none   m ModRM   b imm8   B ModRM imm8   z imm32 (16 with 66)   Z ModRM and that
 * v imm64 with REX.W, else as z   w imm16   e imm16 imm8   o 64-bit address   r rel8   R rel32
 * t ModRM, imm8 if reg < 2   T ModRM, imm32 (16) if reg < 2   p prefix   x unknown */
static const char one_byte[257] = "mmmmbzxxmmmmbzxp" /* 00 */
                                  "mmmmbzxxmmmmbzxx"
                                  "mmmmbzpxmmmmbzpx" /* 20 */
                                  "mmmmbzpxmmmmbzpx"
                                  "pppppppppppppppp" /* 40: REX */
                                  "----------------"
                                  "xxpmppppzZbB----" /* 60: 62 is EVEX */
                                  "rrrrrrrrrrrrrrrr"
                                  "BZxBmmmmmmmmmmmm" /* 80: 8f is also XOP */
                                  "----------x-----"
                                  "oooo----bz------" /* a0 */
                                  "bbbbbbbbvvvvvvvv"
                                  "BBw-ppBZe-w--bx-" /* c0: c4 and c5 are VEX */
                                  "mmmmxxx-mmmmmmmm"
                                  "rrrrbbbbRRxr----" /* e0 */
                                  "p-pp--tT------mm";

static const char two_byte[257] = "mmmmx-----x-xm-x" /* 00; the last: 3DNow! */
                                  "mmmmmmmmmmmmmmmm"
                                  "xxxxxxxxmmmmmmmm" /* 20: control registers, for the kernel */
                                  "------x-pxpxxxxx"
                                  "mmmmmmmmmmmmmmmm" /* 40 */
                                  "mmmmmmmmmmmmmmmm"
                                  "mmmmmmmmmmmmmmmm" /* 60 */
                                  "BBBBmmm-mmxxmmmm"
                                  "RRRRRRRRRRRRRRRR" /* 80 */
                                  "mmmmmmmmmmmmmmmm"
                                  "---mBmxx---mBmmm" /* a0 */
                                  "mmmmmmmmmmBmmmmm"
                                  "mmBmBBBm--------" /* c0 */
                                  "mmmmmmmmmmmmmmmm"
                                  "mmmmmmmmmmmmmmmm" /* e0 */
                                  "mmmmmmmmmmmmmmmm";

static int32_t get32(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Bytes from the ModRM byte to the end of the displacement. */
static unsigned modrm_size(const uint8_t *p, bool *relative)
{
    unsigned mod = p[0] >> 6, rm = p[0] & 7, size = 1;
    *relative = false;
    if (mod == 3)
        return 1;
    if (rm == 4) {
        size = 2;
        if (mod == 0 && (p[1] & 7) == 5)
            return 6;
    } else if (mod == 0 && rm == 5) {
        *relative = true;
        return 5;
    }
    return size + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

static char form_of(const struct insn *i)
{
    switch (i->map) {
    case 0:
        return one_byte[i->opcode];
    case 1:
        /* What VEX has in place of the conditional jumps and settings. */
        return i->wide && (i->opcode & 0xf0) == 0x80   ? 'x'
               : i->wide && (i->opcode & 0xf0) == 0x90 ? 'm'
               : !i->wide && i->opcode == 0x78         ? 'x' /* with prefixes it has immediates */
                                                       : two_byte[i->opcode];
    case 2:
        return 'm';
    case 3:
        return 'B';
    case 5:
    case 6: /* half precision, EVEX only */
        return i->wide ? 'm' : 'x';
    default:
        return 'x';
    }
}

static void find_kind(struct insn *i)
{
    if (i->map == 1 && !i->wide) {
        if (i->opcode == 0x05)
            i->kind = INSN_SYSCALL;
        else if ((i->opcode & 0xf0) == 0x80)
            i->kind = INSN_JCC;
    } else if (i->map == 0) {
        unsigned reg = i->modrm >> 3 & 7;
        if ((i->opcode & 0xf0) == 0x70)
            i->kind = INSN_JCC;
        else if (i->opcode == 0xe9 || i->opcode == 0xeb)
            i->kind = INSN_JMP;
        else if (i->opcode == 0xe8)
            i->kind = INSN_CALL;
        else if ((i->opcode >= 0xe0 && i->opcode <= 0xe3) || i->target)
            i->kind = INSN_SHORT; /* the last: xbegin */
        else if (i->opcode == 0xc2 || i->opcode == 0xc3 || i->opcode == 0xca || i->opcode == 0xcb ||
                 i->opcode == 0xcf)
            i->kind = INSN_RET;
        else if (i->opcode == 0xff && (reg == 4 || reg == 5))
            i->kind = INSN_INDIRECT;
    }
}

bool insn_decode(const uint8_t *code, struct insn *out)
{
    const uint8_t *p = code;
    bool short_operand = false;
    memset(out, 0, sizeof *out);
    while (p - code < 14 &&
           (*p == 0x26 || *p == 0x2e || *p == 0x36 || *p == 0x3e || (*p >= 0x64 && *p <= 0x67) ||
            *p == 0xf0 || *p == 0xf2 || *p == 0xf3)) {
        short_operand |= *p == 0x66;
        if (*p == 0x67)
            out->rex |= 0x80; /* remembered for absolute addresses only */
        p++;
    }
    bool short_address = out->rex;
    out->rex = 0;
    if ((*p & 0xf0) == 0x40)
        out->rex = *p++;
    if (!out->rex && *p == 0xc5) {
        out->wide = true;
        out->map = 1;
        p += 2;
    } else if (!out->rex && *p == 0xc4) {
        out->wide = true;
        out->map = p[1] & 31;
        p += 3;
    } else if (!out->rex && *p == 0x62) {
        out->wide = true;
        out->map = p[1] & 7;
        p += 4;
    } else if (*p == 0x0f) {
        out->map = 1;
        p++;
        if (*p == 0x38 || *p == 0x3a)
            out->map = *p++ == 0x38 ? 2 : 3;
    }
    if (out->wide && out->map == 0)
        return false;
    out->opcode = *p++;
    char form = form_of(out);
    if (form == 'x' || form == 'p')
        return false;
    if (form == 'm' || form == 'B' || form == 'Z' || form == 't' || form == 'T') {
        bool relative;
        out->modrm = *p;
        if (out->map == 0 && !out->wide && out->opcode == 0x8f && (*p >> 3 & 7))
            return false; /* XOP */
        unsigned size = modrm_size(p, &relative);
        p += size;
        if (relative)
            out->relative = (uint8_t)(p - 4 - code);
    }
    bool quad = out->rex & 8;
    unsigned full = short_operand && !quad ? 2 : 4, size = 0;
    switch (form) {
    case 'b':
    case 'B':
        size = 1;
        break;
    case 'z':
    case 'Z':
        size = full;
        if (out->map == 0 && out->opcode == 0xc7 && out->modrm == 0xf8) { /* xbegin */
            if (size == 2)
                return false;
            out->target = p + 4 + get32(p);
        }
        break;
    case 'v':
        size = quad ? 8 : full;
        break;
    case 'w':
        size = 2;
        break;
    case 'e':
        size = 3;
        break;
    case 'o':
        size = short_address ? 4 : 8;
        break;
    case 't':
        size = (out->modrm >> 3 & 7) < 2 ? 1 : 0;
        break;
    case 'T':
        size = (out->modrm >> 3 & 7) < 2 ? full : 0;
        break;
    case 'r':
        out->target = p + 1 + (int8_t)*p;
        p++;
        break;
    case 'R':
        if (short_operand && !quad)
            return false; /* processors disagree */
        out->target = p + 4 + get32(p);
        p += 4;
        break;
    }
    if (size)
        out->immediate = (uint8_t)(p - code);
    p += size;
    if (p - code > 15)
        return false;
    out->length = (uint8_t)(p - code);
    find_kind(out);
    return true;
}

/* The list has what compilers put before system calls. */
bool insn_keeps_rax(const struct insn *i)
{
    unsigned reg = (i->modrm >> 3 & 7) | (i->rex & 4 ? 8 : 0);
    unsigned rm = (i->modrm & 7) | (i->rex & 1 ? 8 : 0);
    bool memory = i->modrm < 0xc0;
    bool high = !memory && !i->rex && rm >= 4 && i->map == 0 &&
                (i->opcode == 0x80 || i->opcode == 0x88 || i->opcode == 0xc6); /* %ah and so on */
    if (i->wide || (high && (i->opcode != 0x80 || reg != 7)))
        return false;
    if (i->kind == INSN_JCC)
        return true;
    if (i->map == 1)
        return (i->opcode == 0xb6 || i->opcode == 0xb7 || i->opcode == 0xbe || i->opcode == 0xbf ||
                (i->opcode & 0xf0) == 0x40)
                   ? reg != 0
                   : (i->opcode & 0xfe) == 0x10 || (i->opcode & 0xfe) == 0x28 ||
                         i->opcode == 0x6f || i->opcode == 0x7f || i->opcode == 0x6e ||
                         i->opcode == 0xef || i->opcode == 0x1f || i->opcode == 0x6c ||
                         i->opcode == 0x16;
    if (i->map != 0)
        return false;
    switch (i->opcode) {
    case 0x38:
    case 0x39:
    case 0x3a:
    case 0x3b:
    case 0x84:
    case 0x85:
    case 0x3c:
    case 0x3d:
    case 0xa8:
    case 0xa9:
        return true; /* compare, test */
    case 0x8b:
    case 0x8d:
    case 0x63:
    case 0x03:
    case 0x0b:
    case 0x23:
    case 0x2b:
    case 0x33:
        return reg != 0;
    case 0x01:
    case 0x09:
    case 0x21:
    case 0x29:
    case 0x31:
    case 0x89:
    case 0x88:
    case 0xc6:
    case 0xc7:
        return (i->modrm >> 3 & 7) == 0 && (memory || rm != 0);
    case 0xc1:
    case 0xd1:
        return memory || rm != 0;
    case 0x80:
    case 0x81:
    case 0x83:
        return memory || rm != 0 || (i->modrm >> 3 & 7) == 7;
    }
    if ((i->opcode & 0xf8) == 0xb8 || (i->opcode & 0xf8) == 0x58)
        return (i->opcode & 7) || (i->rex & 1);
    return (i->opcode & 0xf8) == 0x50 || i->opcode == 0x68 || i->opcode == 0x6a;
}
