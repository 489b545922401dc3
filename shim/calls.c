/* The table made real: pointers, names, and the bodies of rows that are not OWN. ALIAS rows become further
 * names of the same function when the library is linked (scripts/aliases).
 *
 * Exported symbols carry no version, so they answer references to any version of libc's. Bodies run
 * on the calling thread's stack, outside the runtime. */
#include "shim/calls.h"

#include "base/log.h"
#include "libc/symbol.h"
#include "poller/poller.h"
#include "shim/deep.h"

struct real real;
_Atomic uint64_t call_passed[CALL_COUNT];

const char *const call_names[CALL_COUNT] = {
#define CALL(class, ret, name, ...) #name,
#include "calls.def"
};

bool real_behind_libc;

static void missing(void)
{
    panic("a libc function that the program uses does not exist in this libc");
}

void real_resolve(void)
{
    static const struct symbol_wish wishes[] = {
#define CALL(class, ret, name, ...) { #name, (void **)&real.name },
#include "calls.def"
    };
    symbol_find(wishes, sizeof wishes / sizeof *wishes, real_behind_libc);
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
        if (!*wishes[i].found)
            *wishes[i].found = (void *)missing;
}

#define DECL0()          void
#define DECL1(t, a)      t a
#define DECL2(t, a, ...) t a, DECL1(__VA_ARGS__)
#define DECL3(t, a, ...) t a, DECL2(__VA_ARGS__)
#define DECL4(t, a, ...) t a, DECL3(__VA_ARGS__)
#define DECL5(t, a, ...) t a, DECL4(__VA_ARGS__)
#define DECL6(t, a, ...) t a, DECL5(__VA_ARGS__)
#define DECL7(t, a, ...) t a, DECL6(__VA_ARGS__)
#define DECL8(t, a, ...) t a, DECL7(__VA_ARGS__)
#define ARGS0()
#define ARGS1(t, a)      a
#define ARGS2(t, a, ...) a, ARGS1(__VA_ARGS__)
#define ARGS3(t, a, ...) a, ARGS2(__VA_ARGS__)
#define ARGS4(t, a, ...) a, ARGS3(__VA_ARGS__)
#define ARGS5(t, a, ...) a, ARGS4(__VA_ARGS__)
#define ARGS6(t, a, ...) a, ARGS5(__VA_ARGS__)
#define ARGS7(t, a, ...) a, ARGS6(__VA_ARGS__)
#define ARGS8(t, a, ...) a, ARGS7(__VA_ARGS__)

#define BODY_OWN(ret, name, n, ...)
#define BODY_PASSED(ret, name, n, enter, leave, make, ...)                                         \
    EXPORT ret name(DECL##n(__VA_ARGS__))                                                          \
    {                                                                                              \
        struct fiber *self = fiber_here(); /* libc's are cancellation points, or not */            \
        if (!self)                                                                                 \
            return REAL(name)(ARGS##n(__VA_ARGS__));                                               \
        add_relaxed(&call_passed[CALL_##name], 1);                                                 \
        enter(self);                                                                               \
        ret outcome = make(self, REAL(name)(ARGS##n(__VA_ARGS__)));                                \
        leave(self);                                                                               \
        return outcome;                                                                            \
    }
#define ONCE(self, call) (call)
#define BODY_HANDOFF(ret, name, n, ...)                                                            \
    BODY_PASSED(ret, name, n, handoff_enter, handoff_leave, UNDISTURBED, __VA_ARGS__)
#define BODY_BLOCK(ret, name, n, ...)                                                              \
    BODY_PASSED(ret, name, n, handoff_block_enter, handoff_block_leave, UNDISTURBED, __VA_ARGS__)
#define INNER_ENTER(self) (deep.on ? (void)0 : handoff_block_enter(self))
#define INNER_LEAVE(self) (deep.on ? (void)0 : handoff_block_leave(self))
#define BODY_INNER(ret, name, n, ...)                                                              \
    BODY_PASSED(ret, name, n, INNER_ENTER, INNER_LEAVE, ONCE, __VA_ARGS__)
#define SPAWN_ENTER(self) (fd_unshare(-1), handoff_block_enter(self))
#define BODY_SPAWN(ret, name, n, ...)                                                              \
    BODY_PASSED(ret, name, n, SPAWN_ENTER, handoff_block_leave, ONCE, __VA_ARGS__)
#define CALL(class, ret, name, n, ...) BODY_##class(ret, name, n, __VA_ARGS__)
#include "calls.def"
