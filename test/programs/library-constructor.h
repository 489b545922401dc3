/* What lib-constructor.c offers to library-constructor.c. */
#ifndef LIBRARY_CONSTRUCTOR_H
#define LIBRARY_CONSTRUCTOR_H

#include <pthread.h>

extern int constructor_ran, constructor_destructions;
extern pthread_t constructor_main;
extern pthread_key_t constructor_key;
/* Errorcheck; the constructor leaves it locked. */
extern pthread_mutex_t constructor_mutex, constructor_held;

#endif
