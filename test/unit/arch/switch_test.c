/* The processor's part: a context switch keeps what the ABI says a call keeps, on a new stack and on
 * an old one, by both ways to set the thread pointer; call targets are decoded from machine code. */
#include "test/unit/common.h"
#include <string.h>
#include <sys/auxv.h>

#include "arch/arch.h"
#include "base/defs.h"

#ifdef __x86_64__

/* rbx rbp r12 r13 r14 r15 */
enum { REGISTERS = 6 };

/* Fills the callee-saved registers from in, switches, and stores them to out when it returns. */
void switch_with_registers(void **save, void *sp, uintptr_t tp, const uint64_t *in, uint64_t *out);
__asm__(".text\n"
        ".type switch_with_registers, @function\n"
        "switch_with_registers:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    pushq %r8\n"
        "    movq 0(%rcx), %rbx\n"
        "    movq 8(%rcx), %rbp\n"
        "    movq 16(%rcx), %r12\n"
        "    movq 24(%rcx), %r13\n"
        "    movq 32(%rcx), %r14\n"
        "    movq 40(%rcx), %r15\n"
        "    call *arch_switch(%rip)\n"
        "    popq %r8\n"
        "    movq %rbx, 0(%r8)\n"
        "    movq %rbp, 8(%r8)\n"
        "    movq %r12, 16(%r8)\n"
        "    movq %r13, 24(%r8)\n"
        "    movq %r14, 32(%r8)\n"
        "    movq %r15, 40(%r8)\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size switch_with_registers, . - switch_with_registers\n");

struct fp {
    uint32_t mxcsr; /* control and flags */
    uint16_t control, flags;
};

static struct fp fp_get(void)
{
    struct fp fp;
    uint16_t status;

    __asm__ volatile("stmxcsr %0" : "=m"(fp.mxcsr));
    __asm__ volatile("fnstcw %0" : "=m"(fp.control));
    __asm__ volatile("fnstsw %0" : "=m"(status));
    fp.flags = status & 0x3f;
    return fp;
}

static void fp_set(struct fp fp)
{
    uint32_t env[7];

    __asm__ volatile("ldmxcsr %0" : : "m"(fp.mxcsr));
    __asm__ volatile("fnstenv %0" : "=m"(env));
    env[0] = (env[0] & 0xffff0000) | fp.control;
    env[1] = (env[1] & 0xffff0000) | fp.flags;
    __asm__ volatile("fldenv %0" : : "m"(env));
}

static bool fp_equal(struct fp a, struct fp b)
{
    return a.mxcsr == b.mxcsr && a.control == b.control && a.flags == b.flags;
}

/* All exceptions masked; rounding, precision, flush-to-zero and flags vary. */
static const struct fp plain_fp = { 0x1f80, 0x037f, 0 };
static const struct fp round_down = { 0x1f80 | 1 << 13 | 0x20, 0x037f | 1 << 10, 0x20 };
static const struct fp round_up = { 0x1f80 | 2 << 13 | 1 << 15 | 0x04, 0x027f | 2 << 10, 0x04 };

/* ---- two contexts ---- */

/* Enough of a thread control block: C code reads words around its own address. */
static struct {
    char tls[4096];
    void *self;
    char rest[4096];
} other_tcb __attribute__((aligned(64)));

static char other_stack[64 << 10] __attribute__((aligned(4096)));
static void *main_sp, *other_sp;
static uintptr_t main_tp, other_tp;

/* What the other side saw; it must not call libc, whose thread-local storage it does not have. */
static struct {
    int rounds, errors;
    uintptr_t tp, frame;
    struct fp first_fp, fp;
} other;

static void prepare(void (*entry)(void))
{
    other_tcb.self = &other_tcb.self;
    other_tp = (uintptr_t)&other_tcb.self;
    main_tp = arch_tp_get();
    other_sp = arch_stack_init(other_stack + sizeof other_stack - 8, entry);
}

static void fill(uint64_t *registers, uint64_t seed)
{
    for (int i = 0; i < REGISTERS; i++)
        registers[i] = seed * 0x9e3779b97f4a7c15ull + (uint64_t)i * 0x0101010101010101ull;
}

static void other_main(void)
{
    uint64_t in[REGISTERS], out[REGISTERS];

    other.frame = (uintptr_t)__builtin_frame_address(0);
    other.first_fp = fp_get();
    fp_set(other.fp);
    for (;;) {
        fill(in, (uint64_t)other.rounds * 2 + 1);
        other.tp = arch_tp_get();
        switch_with_registers(&other_sp, main_sp, main_tp, in, out);
        for (int i = 0; i < REGISTERS; i++)
            other.errors += in[i] != out[i];
        other.errors += !fp_equal(fp_get(), other.fp);
        other.errors += arch_tp_get() != other_tp;
        other.rounds++;
    }
}

static void test_switch(bool force_syscall, struct fp other_fp)
{
    uint64_t in[REGISTERS], out[REGISTERS];
    struct fp before = fp_get(), after;

    arch_init(force_syscall);
    fp_set(round_down);
    other.fp = other_fp;
    prepare(other_main);
    for (int i = 0; i < 1000; i++) {
        fill(in, (uint64_t)i * 2);
        switch_with_registers(&main_sp, other_sp, other_tp, in, out);
        after = fp_get();
        fp_set(before); /* the library must not compute with our settings */
        cr_assert_eq(memcmp(in, out, sizeof in), 0, "registers changed in round %d", i);
        cr_assert(fp_equal(after, round_down), "round %d: mxcsr %x control %x flags %x", i,
                  after.mxcsr, after.control, after.flags);
        cr_assert_eq(arch_tp_get(), main_tp);
        fp_set(round_down);
    }
    fp_set(before);
    cr_assert_eq(other.rounds, 999);
    cr_assert_eq(other.errors, 0);
    cr_assert_eq(other.tp, other_tp, "the thread pointer does not go along");
    cr_assert(fp_equal(other.first_fp, round_down),
              "a new context starts with its maker's floating-point state");
    /* The frame pointer was pushed at entry, where the stack must be 8 off a multiple of 16. */
    cr_assert_eq(other.frame % 16, 0, "a new stack is misaligned");
    cr_assert(other.frame > (uintptr_t)other_stack &&
              other.frame < (uintptr_t)other_stack + sizeof other_stack);
}

Test(arch_switch, by_instruction, .disabled = SANITIZED)
{
    arch_init(false);
    cr_assert_eq(arch_tp_native(), (getauxval(AT_HWCAP2) & 2) != 0);
    test_switch(false, round_up);
}

Test(arch_switch, by_system_call, .disabled = SANITIZED)
{
    arch_init(true);
    cr_assert_not(arch_tp_native());
    test_switch(true, round_up);
}

/* The other way out of the switch: nothing to load. */
Test(arch_switch, by_instruction_with_equal_floating_point_state, .disabled = SANITIZED)
{
    test_switch(false, round_down);
}

Test(arch_switch, by_system_call_with_equal_floating_point_state, .disabled = SANITIZED)
{
    test_switch(true, round_down);
}

/* A context that is the only one to have flags, and one that is the only one to have none: the
 * comparison that saves loads must look at all of them. */
static void flags_main(void)
{
    for (;;) {
        other.first_fp = fp_get();
        switch_with_registers(&other_sp, main_sp, main_tp, (uint64_t[REGISTERS]){ 0 },
                              (uint64_t[REGISTERS]){ 0 });
    }
}

Test(arch_switch, every_bit_of_floating_point_state_counts, .disabled = SANITIZED)
{
    uint64_t registers[REGISTERS] = { 0 };
    struct fp before = fp_get();

    arch_init(false);
    fp_set(plain_fp);
    prepare(flags_main);
    switch_with_registers(&main_sp, other_sp, other_tp, registers, registers);
    for (int bit = 0; bit < 6 + 6 + 2 + 2; bit++) {
        struct fp mine = plain_fp, after;

        if (bit < 6)
            mine.mxcsr |= 1u << bit;
        else if (bit < 12)
            mine.flags |= (uint16_t)(1u << (bit - 6));
        else if (bit < 14)
            mine.mxcsr |= 1u << (bit - 12 + 13);
        else
            mine.control |= (uint16_t)(1u << (bit - 14 + 10));
        fp_set(mine);
        switch_with_registers(&main_sp, other_sp, other_tp, registers, registers);
        after = fp_get();
        fp_set(before);
        cr_assert(fp_equal(other.first_fp, plain_fp), "bit %d went along", bit);
        cr_assert(fp_equal(after, mine), "bit %d was lost", bit);
    }
}

Test(arch_switch, the_thread_pointer_can_be_set, .disabled = SANITIZED)
{
    for (int force = 0; force < 2; force++) {
        uintptr_t seen;

        arch_init(force);
        prepare(other_main);
        arch_tp_set(other_tp);
        seen = arch_tp_get();
        arch_tp_set(main_tp);
        cr_assert_eq(seen, other_tp);
        cr_assert_eq(arch_tp_get(), main_tp);
    }
}

/* ---- decoding ---- */

#define CALL(displacement) 0xe8, displacement, 0, 0, 0
#define STORE_RESULT       0x64, 0x48, 0x89, 0x04, 0x25, 0x30, 0x06, 0, 0
enum { CALL_SIZE = 5, STORE_SIZE = 9 };

#define decode(...)                                                                                \
    (memcpy(code, (unsigned char[]){ __VA_ARGS__, 0x90 },                                          \
            sizeof((unsigned char[]){ __VA_ARGS__, 0x90 })),                                       \
     memset(targets, 0, sizeof targets), arch_decode_calls(code, targets, 3))

static unsigned char code[256];
static void *targets[4];

Test(decode, calls_in_sequence)
{
    cr_assert_eq(decode(CALL(0x10), CALL(0x20), CALL(0x30)), 3);
    cr_assert_eq(targets[0], code + CALL_SIZE + 0x10);
    cr_assert_eq(targets[1], code + 2 * CALL_SIZE + 0x20);
    cr_assert_eq(targets[2], code + 3 * CALL_SIZE + 0x30);
}

Test(decode, no_more_than_wanted)
{
    cr_assert_eq(decode(CALL(1), CALL(2), CALL(3), CALL(4)), 3);
    cr_assert_null(targets[3]);
    cr_assert_eq(arch_decode_calls(code, targets, 0), 0);
}

Test(decode, backward_calls)
{
    cr_assert_eq(decode(0xe8, 0xf0, 0xff, 0xff, 0xff), 1);
    cr_assert_eq((uintptr_t)targets[0], (uintptr_t)code + CALL_SIZE - 0x10);
}

Test(decode, anything_else_ends_the_sequence)
{
    cr_assert_eq(decode(0x90), 0);
    cr_assert_eq(decode(CALL(1), 0x90, CALL(2)), 1);
    cr_assert_eq(decode(0xff, 0xd0), 0); /* an indirect call */
    cr_assert_eq(decode(CALL(1), 0xeb, 0, CALL(2)), 1);
}

Test(decode, the_result_is_stored_first)
{
    cr_assert_eq(decode(STORE_RESULT, CALL(1)), 1);
    cr_assert_eq(targets[0], code + STORE_SIZE + CALL_SIZE + 1);
    cr_assert_eq(decode(0x64, 0x48, 0x89, 0x04, 0x24, CALL(1)), 0); /* stored elsewhere */
}

Test(decode, one_jump_is_followed)
{
    cr_assert_eq(decode(0xeb, 2, 0x90, 0x90, CALL(1)), 1);
    cr_assert_eq(targets[0], code + 4 + CALL_SIZE + 1);
    cr_assert_eq(decode(0xe9, 3, 0, 0, 0, 0x90, 0x90, 0x90, CALL(1)), 1);
    cr_assert_eq(targets[0], code + 8 + CALL_SIZE + 1);
    cr_assert_eq(decode(STORE_RESULT, 0xeb, 1, 0x90, CALL(1)), 1);
    cr_assert_eq(targets[0], code + STORE_SIZE + 3 + CALL_SIZE + 1);
    cr_assert_eq(decode(0xeb, 1, 0x90, STORE_RESULT, CALL(1)), 1);
    cr_assert_eq(decode(0xeb, 0, 0xeb, 0, CALL(1)), 0, "a second jump");
}

Test(decode, backward_jump)
{
    memcpy(code, (unsigned char[]){ CALL(1), 0x90, 0xeb, 0xf8 }, 8);
    cr_assert_eq(arch_decode_calls(code + 6, targets, 3), 1);
    cr_assert_eq(targets[0], code + CALL_SIZE + 1);
}

#endif
