/*
 * The same as shared-mutex-peer with priority inheritance, where the kernel looks at the owner's tid.
 */
#define PROTOCOL PTHREAD_PRIO_INHERIT
#include "shared-mutex-peer.c"
