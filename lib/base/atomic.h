/* C11 atomics under short names. Every use stronger than relaxed names its partner at the place
 * of use; the names here only keep those lines readable. */
#ifndef BASE_ATOMIC_H
#define BASE_ATOMIC_H

#include <stdatomic.h>

#define load_relaxed(p)     atomic_load_explicit((p), memory_order_relaxed)
#define load_acquire(p)     atomic_load_explicit((p), memory_order_acquire)
#define load_seq(p)         atomic_load_explicit((p), memory_order_seq_cst)
#define store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define store_seq(p, v)     atomic_store_explicit((p), (v), memory_order_seq_cst)
#define add_relaxed(p, v)   atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define add_seq(p, v)       atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define sub_seq(p, v)       atomic_fetch_sub_explicit((p), (v), memory_order_seq_cst)
#define xchg_acqrel(p, v)   atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define xchg_seq(p, v)      atomic_exchange_explicit((p), (v), memory_order_seq_cst)
/* cas_*: true when *p held *expected and now holds v; else *expected is what was found. */
#define cas_acquire(p, expected, v)                                                                \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acquire,            \
                                            memory_order_relaxed)
#define cas_release(p, expected, v)                                                                \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_release,            \
                                            memory_order_relaxed)
#define cas_seq(p, expected, v)                                                                    \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_seq_cst,            \
                                            memory_order_seq_cst)
#define fence_seq() atomic_thread_fence(memory_order_seq_cst)
/* Stops the compiler only: pairs with a membarrier(2) on the other side. */
#define fence_compiler() atomic_signal_fence(memory_order_seq_cst)

#endif
