/*
 * The instruction decoder of deep interception agrees with Zydis on every instruction of whole libraries.
 *
 *     decode_zydis library...
 *
 * Compared are the length, the kind, the target of a jump, where displacements and immediates are, whether a
 * register wider than %xmm may be used, and, where ours says that an instruction leaves %rax alone, that it
 * does. Functions are decoded from their beginning to their end, as the unwind table has them, all of each
 * library and not only what interception looks at; then bytes by chance. Ours may know less: an instruction
 * that it does not know makes interception leave a function alone.
 */
#include <Zydis/Zydis.h>

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "arch/x86_64/decode.h"

#define RANDOM_BYTES (1 << 22)
#ifndef SHOWN
#define SHOWN 20
#endif

static ZydisDecoder decoder;
static unsigned long looked, unknown, undecoded, wrong;

static void differs(const uint8_t *code, unsigned length, const char *what, long ours, long theirs)
{
    if (wrong++ >= SHOWN) {
        return;
    }
    printf("  ");
    for (unsigned i = 0; i < length; i++) {
        printf("%02x ", code[i]);
    }
    printf(": %s %ld, Zydis %ld\n", what, ours, theirs);
}

static int kind_of(const ZydisDecodedInstruction *z)
{
    bool relative = z->attributes & ZYDIS_ATTRIB_IS_RELATIVE && z->raw.imm[0].is_relative;

    switch (z->mnemonic) {
    case ZYDIS_MNEMONIC_SYSCALL:
        return INSN_SYSCALL;
    case ZYDIS_MNEMONIC_XBEGIN: /* leads elsewhere, and has no other form */
        return INSN_SHORT;
    case ZYDIS_MNEMONIC_XABORT: /* leads to where the other says */
    case ZYDIS_MNEMONIC_XEND:
        return INSN_PLAIN;
    default:
        break;
    }
    switch (z->meta.category) {
    case ZYDIS_CATEGORY_CALL:
        return relative ? INSN_CALL : INSN_PLAIN;
    case ZYDIS_CATEGORY_RET:
        return INSN_RET;
    case ZYDIS_CATEGORY_UNCOND_BR:
        return relative ? INSN_JMP : INSN_INDIRECT;
    case ZYDIS_CATEGORY_COND_BR:
        return z->mnemonic == ZYDIS_MNEMONIC_LOOP || z->mnemonic == ZYDIS_MNEMONIC_LOOPE ||
                       z->mnemonic == ZYDIS_MNEMONIC_LOOPNE ||
                       z->mnemonic == ZYDIS_MNEMONIC_JRCXZ || z->mnemonic == ZYDIS_MNEMONIC_JECXZ
                   ? INSN_SHORT
                   : INSN_JCC;
    default:
        return INSN_PLAIN;
    }
}

static bool is_rax(ZydisRegister r)
{
    return ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r) == ZYDIS_REGISTER_RAX;
}

static void compare(const uint8_t *code, const ZydisDecodedInstruction *z,
                    const ZydisDecodedOperand *operands)
{
    struct insn ours;
    bool writes_rax = false, wide = false;
    unsigned relative = 0;

    looked++;
    if (!insn_decode(code, &ours)) {
        unknown++;
        return;
    }
    if (ours.length != z->length) {
        differs(code, z->length, "length", ours.length, z->length);
        return;
    }
    if (ours.kind != kind_of(z)) {
        differs(code, z->length, "kind", ours.kind, kind_of(z));
    }
    for (int i = 0; i < z->operand_count; i++) {
        const ZydisDecodedOperand *o = &operands[i];

        if (o->type == ZYDIS_OPERAND_TYPE_REGISTER) {
            ZydisRegisterClass class = ZydisRegisterGetClass(o->reg.value);

            writes_rax |= is_rax(o->reg.value) && o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
            wide |= class == ZYDIS_REGCLASS_YMM || class == ZYDIS_REGCLASS_ZMM;
        } else if (o->type == ZYDIS_OPERAND_TYPE_MEMORY &&
                   (o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP)) {
            relative = z->raw.disp.offset;
        }
    }
    if (ours.target) {
        long target = (long)(ours.target - code), theirs = z->length + (long)z->raw.imm[0].value.s;

        if (target != theirs) {
            differs(code, z->length, "target", target, theirs);
        }
    }
    if (relative && ours.relative != relative) {
        differs(code, z->length, "displacement", ours.relative, relative);
    }
    if (ours.immediate && ours.immediate != z->raw.imm[0].offset &&
        ours.immediate != z->raw.disp.offset) { /* the address in mov %al, address */
        differs(code, z->length, "immediate", ours.immediate, z->raw.imm[0].offset);
    }
    if (wide && !ours.wide) {
        differs(code, z->length, "wide", 0, 1);
    }
    if (writes_rax && insn_keeps_rax(&ours)) {
        differs(code, z->length, "keeps rax", 1, 0);
    }
}

/* Returns the length, 0: none that Zydis knows. */
static unsigned one(const uint8_t *code, const uint8_t *end)
{
    ZydisDecodedInstruction z;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

    if (!ZYAN_SUCCESS(
            ZydisDecoderDecodeFull(&decoder, code, (ZyanUSize)(end - code), &z, operands))) {
        return 0;
    }
    compare(code, &z, operands);
    return z.length;
}

static int32_t get32(const uint8_t *p)
{
    int32_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

/* The functions of a loaded image, from the table in .eh_frame_hdr. */
static void library(const uint8_t *header, size_t size)
{
    if (header[0] != 1 || header[1] != 0x1b || header[2] != 0x03 || header[3] != 0x3b) {
        return;
    }
    int32_t n = get32(header + 8);

    for (int32_t i = 0; i < n; i++) {
        const uint8_t *start = header + get32(header + 12 + 8 * i);
        const uint8_t *fde = header + get32(header + 16 + 8 * i);
        const uint8_t *end = start + (uint32_t)get32(fde + 12), *p = start;
        unsigned length;

        if (end - start > (long)size) {
            continue;
        }
        for (; p < end; p += length) {
            length = one(p, end);
            if (!length) {
                undecoded++; /* data, or newer than this Zydis */
                break;
            }
        }
    }
}

static bool look_at(const char *path)
{
    unsigned char head[4096];
    Elf64_Ehdr *e = (void *)head;
    Elf64_Phdr *p = (void *)(head + sizeof *e);
    const uint8_t *table = NULL;
    unsigned long high = 0;
    int fd = open(path, O_RDONLY);

    if (fd < 0 || read(fd, head, sizeof head) < (ssize_t)sizeof *e || e->e_phoff != sizeof *e) {
        return false;
    }
    for (int i = 0; i < e->e_phnum; i++) {
        if (p[i].p_type == PT_LOAD) {
            high = p[i].p_vaddr + p[i].p_memsz;
        }
    }
    uint8_t *image = mmap(NULL, high + 4096, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (image == MAP_FAILED) {
        return false;
    }
    for (int i = 0; i < e->e_phnum; i++) {
        if (p[i].p_type == PT_LOAD && pread(fd, image + p[i].p_vaddr, p[i].p_filesz,
                                            (off_t)p[i].p_offset) != (ssize_t)p[i].p_filesz) {
            return false;
        }
        if (p[i].p_type == PT_GNU_EH_FRAME) {
            table = image + p[i].p_vaddr;
        }
    }
    close(fd);
    unsigned long before = looked, not_ours = unknown, neither = undecoded, bad = wrong;

    if (table) {
        library(table, high);
    }
    printf("%s: %lu instructions, %lu differ; %lu not known, %lu functions with others\n", path,
           looked - before, wrong - bad, unknown - not_ours, undecoded - neither);
    munmap(image, high + 4096);
    return true;
}

/* Prefixes and escapes are more frequent than by chance. */
static void by_chance(void)
{
    static const uint8_t often[] = { 0x0f, 0x48, 0x66, 0x41, 0xf2, 0xf3, 0xc4, 0xc5,
                                     0x62, 0x38, 0x3a, 0x67, 0x4c, 0x64, 0xf0, 0x8f };
    uint8_t *bytes = malloc(RANDOM_BYTES + 16);
    unsigned long long x = 88172645463325252ull;
    unsigned long before = looked, not_ours = unknown, bad = wrong;

    for (int i = 0; i < RANDOM_BYTES + 16; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes[i] = (x >> 8 & 3) == 0 ? often[x >> 16 & 15] : (uint8_t)(x >> 24);
    }
    for (int i = 0; i < RANDOM_BYTES; i++) {
        one(bytes + i, bytes + i + 15);
    }
    printf("by chance: %lu instructions, %lu differ; %lu not known\n", looked - before, wrong - bad,
           unknown - not_ours);
    free(bytes);
}

int main(int argc, char **argv)
{
    int found = 0;

    if (!ZYAN_SUCCESS(
            ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64))) {
        return 77;
    }
    for (int i = 1; i < argc; i++) {
        found += look_at(argv[i]);
    }
    unsigned long not_known = unknown;

    by_chance();
    /* What compilers and assemblers write, it should know. */
    return wrong ? 1 : !found ? 77 : not_known * 1000 > looked;
}
