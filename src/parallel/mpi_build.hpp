// Whether this build has MPI. The build puts mpi.h on the include path of this folder exactly when
// TETHER_MPI is on; nobody outside of src/parallel asks.
#pragma once

#if !defined(TETHER_HAS_MPI) && __has_include(<mpi.h>)
#define TETHER_HAS_MPI 1
#endif
