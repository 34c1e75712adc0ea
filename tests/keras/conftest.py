import keras

collect_ignore = ["test_training.py"] if keras.backend.backend() == "numpy" else []
