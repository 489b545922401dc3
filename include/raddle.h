/*
 * raddle: pthreads as fibers on a few kernel threads.
 *
 * A program needs nothing from this header to run on raddle; it is for programs that
 * want to know. Link with -lraddle, or declare what you use weak and test it for NULL.
 */
#ifndef RADDLE_H
#define RADDLE_H

#define RADDLE_VERSION_MAJOR 0
#define RADDLE_VERSION_MINOR 1
#define RADDLE_VERSION_PATCH 0
#define RADDLE_VERSION       "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that is running, as RADDLE_VERSION. Never fails; the string
 * is static. */
const char *raddle_version(void);

#ifdef __cplusplus
}
#endif

#endif
