# Makes the build context in the current directory.
mkdir app; echo nothing > requirements.txt; echo 'VALUE = 42' > app/__init__.py; printf 'from app import VALUE\nprint("value", VALUE)\n' > app/__main__.py
