/*
 * raddle: pthreads as fibers on a few kernel threads.
 *
 * A program needs nothing from this header to run on raddle; it is for programs that
 * want to know. Link with -lraddle; or define RADDLE_WEAK before including this header, do not link,
 * and test a function for NULL before calling it: then the program runs without the library too.
 */
#ifndef RADDLE_H
#define RADDLE_H

#define RADDLE_VERSION_MAJOR 0
#define RADDLE_VERSION_MINOR 1
#define RADDLE_VERSION_PATCH 0
#define RADDLE_VERSION       "0.1.0"

#ifdef RADDLE_WEAK
#define RADDLE_API __attribute__((weak))
#else
#define RADDLE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that is running, as RADDLE_VERSION. Never fails; the string
 * is static. */
RADDLE_API const char *raddle_version(void);

/*
 * Between these two the calling thread is not stopped in favour of others, however long it computes:
 * it stays on its CPU's kernel thread, and a lock of its own making (a spin lock, say) is not left
 * held by a thread that waits for its turn. Others still get their turns, on other kernel threads.
 * Calls that wait (read, pthread_mutex_lock, sched_yield) wait as ever. Sections nest; each begin needs
 * an end in the same thread. Both return at once, never fail, and may be called in signal handlers; end
 * may let others run if the thread's time was over.
 */
RADDLE_API void raddle_nopreempt_begin(void);
RADDLE_API void raddle_nopreempt_end(void);

#ifdef __cplusplus
}
#endif

#endif
