/* Prints what works here, for `raddle doctor`, and ends the process. */
#ifndef SHIM_DOCTOR_H
#define SHIM_DOCTOR_H

_Noreturn void doctor(void);

#endif
