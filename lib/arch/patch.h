/* Rewriting system call instructions of loaded libraries into jumps to stubs of ours.
 *
 * A stub does what the instruction did, but asks first: deep_filter looks at the registers and gives
 * a function that answers the call in the kernel's stead, or NULL. Everything is as after the
 * instruction: all registers but the result and the two that the kernel spoils, the bytes below the
 * stack pointer, and the low halves of the vector registers. (Functions that use more of those are
 * left alone.) */
#ifndef ARCH_PATCH_H
#define ARCH_PATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The registers of a system call. */
struct deep_call {
    long arg[6];
    long nr;
    long unused;
};
typedef long deep_body(struct deep_call *c);

/* In the caller's TLS, possibly that of a thread that we do not know; touches no vector register and
 * calls nothing. stack: the caller's stack pointer. Given by the shim. */
deep_body *deep_filter(struct deep_call *c, uintptr_t stack);

/* Bit nr of wanted: calls of that number are to go through stubs. */
#define PATCH_NUMBERS 512
struct patch_wanted {
    uint64_t bits[PATCH_NUMBERS / 64];
    unsigned essential; /* if a site of this number has to be left alone, complete says no */
};

/* A loaded library: its executable segment, its unwind table's header, and its end. */
struct patch_library {
    uint8_t *text, *text_end;
    const uint8_t *unwind_header;
    const uint8_t *image, *image_end; /* what may be read */
    /* results */
    unsigned found;   /* sites of wanted calls */
    unsigned patched; /* of those */
    bool complete;    /* none of the essential number was left out */
};

/* Chooses windows and fills stubs; nothing else is changed yet. NULL, or why it cannot be done. While
 * the process has one thread. */
const char *patch_plan(struct patch_library *libs, unsigned n, const struct patch_wanted *wanted);
/* The same for a library that is being loaded, whose text nobody executes yet, while others run: what was
 * planned before stays. Calls must not meet. */
const char *patch_plan_late(struct patch_library *lib, const struct patch_wanted *wanted);
/* With the jumps of a library that it lies in, which is planned: function, which does nothing but return,
 * becomes a jump to hook. False: it does not look like one. */
bool patch_hook(const struct patch_library *lib, uint8_t *function, void (*hook)(void));
/* Then writes the jumps. After an error some may be there already, which does no harm: stubs work. */
const char *patch_apply(struct patch_library *libs, unsigned n);

#endif
