/* io_uring's newer names, for building against headers older than the kernel that will run us.
 * Values are the kernel's ABI; each use is probed at run time. */
#ifndef POLLER_URING_ABI_H
#define POLLER_URING_ABI_H

#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1u << 13)
#endif
#ifndef IORING_SETUP_NO_MMAP
#define IORING_SETUP_NO_MMAP (1u << 14)
#endif
#ifndef IORING_SETUP_REGISTERED_FD_ONLY
#define IORING_SETUP_REGISTERED_FD_ONLY (1u << 15)
#endif
#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1u << 16)
#endif
#ifndef IORING_ENTER_REGISTERED_RING
#define IORING_ENTER_REGISTERED_RING (1u << 4)
#endif
#ifndef IORING_REGISTER_USE_REGISTERED_RING
#define IORING_REGISTER_USE_REGISTERED_RING (1u << 31)
#endif
#ifndef IORING_SQ_TASKRUN
#define IORING_SQ_TASKRUN (1u << 2)
#endif
#define URING_OP_WAITID         50
#define URING_OP_FUTEX_WAIT     51
#define URING_OP_FUTEX_WAITV    53
#define URING_FUTEX2_SIZE_U32   2
#define URING_FUTEX2_PRIVATE    128
#define URING_ACCEPT_POLL_FIRST (1u << 2)

#endif
