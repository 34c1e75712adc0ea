"""Arrays of libraries that have no module here: by the array API standard, and Dask's."""
