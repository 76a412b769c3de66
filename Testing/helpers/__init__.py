"""What tests of several folders share: stubs, tiny data, peers. `pythonpath` in pytest.ini makes it importable."""
