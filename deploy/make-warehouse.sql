-- The tables of hog_dagster live beside the database of Dagster itself.
CREATE DATABASE warehouse;
