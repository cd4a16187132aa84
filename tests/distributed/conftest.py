"""The drivers are scripts of their own processes, which find what lies beside them; nothing in them is collected."""

collect_ignore = ["rank_driver.py", "train_driver.py", "data_scenarios.py"]
