/* Numbers and objects that other threads read.
 *
 * A stopwatch is written by its loop's thread and read by others. With the interpreter lock that needs no care; without
 * it numbers are relaxed atomics, and objects are exchanged in critical sections.
 */

#ifndef LOOPWATCH_SHARED_H
#define LOOPWATCH_SHARED_H

#include "interpreter.h"

typedef union {
    double seconds;
    uint64_t bits;
} Seconds;

#ifdef Py_GIL_DISABLED
static inline double
load_seconds(Seconds *place)
{
    Seconds copy;
    copy.bits = _Py_atomic_load_uint64_relaxed(&place->bits);
    return copy.seconds;
}

static inline void
store_seconds(Seconds *place, double seconds)
{
    Seconds copy;
    copy.seconds = seconds;
    _Py_atomic_store_uint64_relaxed(&place->bits, copy.bits);
}

#define LOAD_COUNT(place) _Py_atomic_load_int64_relaxed(place)
#define STORE_COUNT(place, count) _Py_atomic_store_int64_relaxed(place, count)
#define LOAD_FLAG(place) _Py_atomic_load_int_relaxed(place)
#define STORE_FLAG(place, flag) _Py_atomic_store_int_relaxed(place, flag)
#define LOAD_POINTER(place) _Py_atomic_load_ptr_acquire(place)
#define STORE_POINTER(place, object) _Py_atomic_store_ptr_release(place, object)
#else
static inline double
load_seconds(Seconds *place)
{
    return place->seconds;
}

static inline void
store_seconds(Seconds *place, double seconds)
{
    place->seconds = seconds;
}

#define LOAD_COUNT(place) (*(place))
#define STORE_COUNT(place, count) (*(place) = (count))
#define LOAD_FLAG(place) (*(place))
#define STORE_FLAG(place, flag) (*(place) = (flag))
#define LOAD_POINTER(place) (*(place))
#define STORE_POINTER(place, object) (*(place) = (object))
#endif

static inline void
add_one(int64_t *place)
{
    STORE_COUNT(place, LOAD_COUNT(place) + 1);
}

static inline void
take_one(int64_t *place)
{
    STORE_COUNT(place, LOAD_COUNT(place) - 1);
}

/* A new reference to what stands in a place of `owner`, or NULL. */
static inline PyObject *
held_in(PyObject *owner, PyObject **place)
{
    PyObject *found;
    (void)owner; /* with the interpreter lock nothing is asked of it */
    Py_BEGIN_CRITICAL_SECTION(owner);
    found = *place;
    Py_XINCREF(found);
    Py_END_CRITICAL_SECTION();
    return found;
}

/* Put `object` (the reference is taken over; NULL is nothing) into a place of `owner`. */
static inline void
put_in(PyObject *owner, PyObject **place, PyObject *object)
{
    PyObject *before;
    (void)owner;
    Py_BEGIN_CRITICAL_SECTION(owner);
    before = *place;
    STORE_POINTER(place, object);
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(before);
}

/* Likewise, where `expected` still stands there; whether it did. */
static inline int
put_instead(PyObject *owner, PyObject **place, PyObject *expected, PyObject *object)
{
    int put;
    PyObject *before;
    (void)owner;
    Py_BEGIN_CRITICAL_SECTION(owner);
    before = *place;
    put = before == expected;
    if (put) {
        STORE_POINTER(place, object);
    }
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(put ? before : object);
    return put;
}

#endif
