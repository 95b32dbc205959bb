velum_add_test(dpsgd_tape_rules_test TORCH
  SOURCES tape_rules_test.cpp LIBRARIES velum::dpsgd)
velum_add_test(dpsgd_tape_proof_test TORCH
  SOURCES tape_proof_test.cpp LIBRARIES velum::dpsgd velum::layer_gradients)
velum_add_test(dpsgd_privacy_engine_test TORCH
  SOURCES privacy_engine_test.cpp LIBRARIES velum::dpsgd)
velum_add_test(dpsgd_clipping_test TORCH SOURCES clipping_test.cpp LIBRARIES velum::dpsgd)
velum_add_test(dpsgd_user_level_test TORCH
  SOURCES user_level_test.cpp LIBRARIES velum::dpsgd velum::layer_gradients)
velum_add_test(dpsgd_torch_bridge_test TORCH
  SOURCES torch_bridge_test.cpp LIBRARIES velum::dpsgd)
velum_add_test(dpsgd_torch_products_test TORCH
  SOURCES torch_products_test.cpp LIBRARIES velum::layer_gradients velum::torch_bridge)
velum_add_test(dpsgd_batch_sizes_test TORCH
  SOURCES batch_sizes_test.cpp LIBRARIES velum::dpsgd velum::layer_gradients)
velum_add_test(dpsgd_memory_limits_test TORCH
  SOURCES memory_limits_test.cpp LIBRARIES velum::dpsgd velum::layer_gradients)
velum_add_test(dpsgd_release_order_test TORCH
  SOURCES release_order_test.cpp LIBRARIES velum::dpsgd velum::layer_gradients)
velum_add_test(dpsgd_row_sketch_test TORCH
  SOURCES row_sketch_test.cpp LIBRARIES velum::dpsgd velum::layer_gradients)
velum_add_test(dpsgd_gradient_methods_test TORCH
  SOURCES gradient_methods_test.cpp LIBRARIES velum::dpsgd velum::layer_gradients)
# Some of it measures the machine, and skips itself where others keep that busy.
set_tests_properties(dpsgd_gradient_methods_test PROPERTIES RUN_SERIAL TRUE)
velum_add_test(dpsgd_lstm_layer_test TORCH
  SOURCES lstm_layer_test.cpp LIBRARIES velum::dpsgd velum::layer_gradients PkgConfig::libhwy)
velum_add_test(dpsgd_image_views_test TORCH
  SOURCES image_views_test.cpp LIBRARIES velum::dpsgd)
# The counter takes the place of malloc, and is no torch program.
velum_add_test(dpsgd_groups_in_pass_test TORCH
  SOURCES groups_in_pass_test.cpp LIBRARIES velum::dpsgd velum::layer_gradients)
velum_add_test(dpsgd_step_memory_test TORCH
  SOURCES step_memory_test.cpp "${PROJECT_SOURCE_DIR}/benchmarks/support/allocation_counter.cpp"
  LIBRARIES velum::dpsgd)
set_source_files_properties("${PROJECT_SOURCE_DIR}/benchmarks/support/allocation_counter.cpp"
  PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
target_include_directories(dpsgd_step_memory_test_objects PRIVATE
  "${PROJECT_SOURCE_DIR}/benchmarks")
velum_add_test(dpsgd_weight_average_test TORCH
  SOURCES weight_average_test.cpp LIBRARIES velum::dpsgd)
# Compares its list of modules with those of the installed torch, and its table with docs/layers.md.
velum_add_test(dpsgd_catalogue_test TORCH
  SOURCES catalogue_test.cpp catalogue_ways.cpp LIBRARIES velum::dpsgd)
target_compile_definitions(dpsgd_catalogue_test_objects PRIVATE
  VELUM_TORCH_MODULES="${VELUM_TORCH_DIR}/include/torch/csrc/api/include/torch/nn/modules"
  VELUM_LAYERS_TABLE="${PROJECT_SOURCE_DIR}/docs/layers.md")
velum_add_test(dpsgd_large_tables_test TORCH
  SOURCES large_tables_test.cpp LIBRARIES velum::dpsgd)
velum_add_test(dpsgd_lazy_table_test TORCH
  SOURCES lazy_table_test.cpp LIBRARIES velum::dpsgd velum::layer_gradients)
