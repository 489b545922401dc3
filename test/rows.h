/* rows.c, rows_passed.c and rows_seen.c: the parts of one program. */
#ifndef ROWS_H
#define ROWS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

/* Calls each function that raddle passes on to libc once, from a thread; prints their names. */
int call_passed(void);

/* Lets one function do its part and looks at the effect; ends the program. */
int see(const char *name);
void list_seen(void);

/* A function that was looked up by name, and a call of it. */
typedef void anything(void);
#define CALL(type, ...) ((type)(uintptr_t)function)(__VA_ARGS__)

/* Where rows.c looked it up; most others have a parameter of that name. */
extern anything *function;
extern const char *row_name;

/* Ways to block in descriptors: pipes without data and without room, and such sockets. */
extern int empty[2], full[2], silent[2], stuffed[2];
void prepare_io(void);
void io(void *argument);
void io_checked(void *argument);
void io_vector(void *argument);
void message(void *argument);
void accepting(void *argument);
void connecting(void *argument);
void polling(void *argument);
void polling_masked(void *argument);
void selecting(void *argument);
void epolling(void *argument);

/* Ways to block in queues and children. */
void prepare_queues(void);
void splicing(void *argument);
void splicing_memory(void *argument);
void sending_a_file(void *argument);
void several_messages(void *argument);
void waiting_for_any(void *argument);
void waiting_for_one(void *argument);
void waiting_for_id(void *argument);
void mq_sending(void *argument);
void mq_receiving(void *argument);

extern atomic_int stage;
void wait_stage(int n);
/* A thread whose body sets stage to 1 and then, by all appearance, waits. */
pthread_t waiter(void *(*body)(void *), void *argument);
/* Such a body; it ends with stage 2. */
void *stay(void *argument);

void set_action(anything *function);
void set_handler(anything *function);
void set_handler_once(anything *function);
void set_interrupting(anything *function);
void set_mask(anything *function);
void raise_in_a_thread(anything *function);
void tgkill_in_a_thread(anything *function);
void kill_from_main(anything *function);
void queue_a_value(anything *function);
void take_pending(anything *function);
void cancel_pause(anything *function);

#endif
