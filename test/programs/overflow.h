/*
 * Running off the end of a stack. Include after check.h.
 */
#ifndef OVERFLOW_H
#define OVERFLOW_H

__attribute__((noinline, unused)) static unsigned long eat_stack(unsigned long depth)
{
    volatile char frame[1024];

    frame[0] = (char)depth;
    if (depth == 0) {
        return 0;
    }
    return eat_stack(depth - 1) + (unsigned long)frame[0];
}

static inline void overflow_stack(void)
{
    eat_stack(1UL << 40);
}

#endif
