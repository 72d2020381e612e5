/* The clocks: our own, which is `time.perf_counter`, or one that is given, as tests do. */

#ifndef LOOPWATCH_CLOCK_H
#define LOOPWATCH_CLOCK_H

#include "interpreter.h"

#include <math.h>

#ifdef __linux__
#include <time.h>
#endif

static inline double
own_clock(void)
{
    /* As `time.perf_counter` computes it: whole nanoseconds, divided once. */
#if defined(__linux__)
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)((int64_t)now.tv_sec * 1000000000 + now.tv_nsec) / 1e9;
#elif PY_VERSION_HEX >= 0x030D0000
    PyTime_t now = 0;
    (void)PyTime_PerfCounterRaw(&now);
    return PyTime_AsSecondsDouble(now);
#else
    return _PyTime_AsSecondsDouble(_PyTime_GetPerfCounter());
#endif
}

/* The time by `clock`; NULL is our own. NAN, with an exception set, where that fails. */
static inline double
call_clock(PyObject *clock)
{
    PyObject *answer = PyObject_CallNoArgs(clock);
    if (answer == NULL) {
        return NAN;
    }
    double now = PyFloat_AsDouble(answer);
    Py_DECREF(answer);
    return now == -1.0 && PyErr_Occurred() ? NAN : now;
}

static inline double
read_clock(PyObject *clock)
{
    return clock == NULL ? own_clock() : call_clock(clock);
}

#endif
