# Lower bounds of epsilon: no torch.
velum_add_library(audit_bounds
  HEADERS_DIR include
  HEADERS
    include/velum/dpsgd/audit/epsilon_lower_bound.h
  SOURCES
    src/audit/epsilon_lower_bound.cpp
    src/audit/tail_bounds.cpp
  PRIVATE $<BUILD_INTERFACE:Boost::headers>)
