/* The CPU time of a thread, by a clock of our own where the platform has one. */

#ifndef LOOPWATCH_THREAD_CLOCK_H
#define LOOPWATCH_THREAD_CLOCK_H

#include "clock.h"

#ifdef __linux__
#define OWN_CLOCKS 1
static inline double
own_thread_cpu(void)
{
    /* As `time.thread_time` computes it: whole nanoseconds, divided once. */
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)((int64_t)now.tv_sec * 1000000000 + now.tv_nsec) / 1e9;
}
#else
#define OWN_CLOCKS 0
#define own_thread_cpu() NAN
#endif

/* That of this thread by `clock`; NULL is our own. NAN where the platform does not tell, or with an exception set. */
static inline double
read_thread_cpu(PyObject *clock)
{
    if (clock == NULL) {
        return own_thread_cpu();
    }
    PyObject *answer = PyObject_CallNoArgs(clock);
    if (answer == NULL) {
        return NAN;
    }
    double now = answer == Py_None ? NAN : PyFloat_AsDouble(answer);
    Py_DECREF(answer);
    return now == -1.0 && PyErr_Occurred() ? NAN : now;
}

#endif
