/* Stack slots: address space cut into equal pieces, committed by the kernel as it is touched.
 *
 * A slot, from its low to its high end: guard pages, the stack, struct fiber, TLS and TCB. The top
 * part (stack_head bytes) is the runtime's and stays committed; the rest belongs to the program. */
#ifndef FIBER_STACK_H
#define FIBER_STACK_H

#include "base/defs.h"

struct stack {
    char *base; /* low end of the stack itself, above the guard */
    char *top;  /* high end of the stack itself */
    size_t guard;
    uint8_t size_class; /* of the slot: the logarithm of its size */
    bool user;          /* base..top belong to the program; the slot is elsewhere */
};

/* The slot, given an address in its upper half (top, if the stack is not the program's). */
char *stack_slot(const struct stack *s, const void *high);
static inline size_t stack_slot_size(const struct stack *s)
{
    return 1ul << s->size_class;
}

/* head: bytes that the runtime needs at the top of each slot. */
void stack_init(size_t head);

/* Fills s with a slot whose stack has at least size bytes above a guard of at least guard bytes
 * (0: none); what the runtime needs comes on top. number: of the slot, for
 * spreading stacks over cache sets. Returns 0 or -ENOMEM. */
int stack_make(struct stack *s, size_t size, size_t guard, uint32_t number);

/* The same without a guard yet: stack_shape comes next. */
int stack_carve(struct stack *s, size_t size, size_t guard, uint32_t number);

/* Puts the guard at the low end of the slot (size 0), where it shares its page-table page with the
 * neighbour, or right below a stack of exactly this size (small ones: a little lower), as a program
 * expects that knows how much it has asked for. Guard pages of a reused slot are changed only when
 * something differs. top must be set. Returns 0 or -ENOMEM. */
int stack_shape(struct stack *s, size_t guard, size_t size);

/* Guard pages of a reused slot are changed only when their size differs. */
int stack_set_guard(struct stack *s, size_t guard);

/* Gives the memory of the unused stack below top - keep back to the kernel. */
void stack_trim(struct stack *s, size_t keep);

/* Before the first stack is made: stacks of this program must be executable. */
void stack_executable(void);

/* Simulates a kernel without MADV_GUARD_INSTALL. */
void stack_no_guard_install(void);
/* Whether guards are mappings of their own. */
bool stack_guards_are_mapped(void);

/* The smallest class whose slots serve such a stack. */
int stack_class(size_t size, size_t guard);
#define STACK_CLASSES 34

#endif
