# Lower bounds of epsilon: no torch.
velum_add_library(audit_bounds
  HEADERS_DIR include
  HEADERS
    include/velum/dpsgd/audit/epsilon_lower_bound.h
  SOURCES
    src/audit/epsilon_lower_bound.cpp
    src/audit/tail_bounds.cpp
  PRIVATE $<BUILD_INTERFACE:Boost::headers>)

# Audits of an engine of DP-SGD.
velum_add_library(audit
  HEADERS_DIR include
  HEADERS
    include/velum/dpsgd/audit/audit_report.h
    include/velum/dpsgd/audit/audited_engine.h
    include/velum/dpsgd/audit/canary_audit.h
    include/velum/dpsgd/audit/engine_conformance.h
    include/velum/dpsgd/audit/neighbour_replay.h
  SOURCES
    src/audit/audit_report.cpp
    src/audit/audit_support.cpp
    src/audit/audited_engine.cpp
    src/audit/canary_audit.cpp
    src/audit/engine_conformance.cpp
    src/audit/neighbour_replay.cpp
  PUBLIC velum::dpsgd velum::audit_bounds
  PRIVATE $<BUILD_INTERFACE:nlohmann_json::nlohmann_json>)
